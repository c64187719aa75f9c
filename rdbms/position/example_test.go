package position_test

import (
	"fmt"

	"github.com/multidc/multidc/rdbms/position"
)

// A write is captured on the primary, and a replica is asked whether it has it.
func Example() {
	primary, err := position.ParseMariaDB("0-1-1042,1-21-77") // SELECT @@gtid_binlog_pos
	if err != nil {
		fmt.Println(err)
		return
	}
	wrote := primary.Only("0") // SELECT @@gtid_domain_id
	fmt.Println("cookie:", wrote)

	want, err := position.Parse(wrote.String())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, replica := range []string{"0-1-1041,1-21-80", "0-1-1042"} { // SELECT @@gtid_slave_pos
		have, err := position.ParseMariaDB(replica)
		if err != nil {
			fmt.Println(err)
			return
		}
		reached, err := position.Reached(have, want)
		fmt.Println(replica, reached, err)
	}
	// Output:
	// cookie: m1:0-1-1042
	// 0-1-1041,1-21-80 false <nil>
	// 0-1-1042 true <nil>
}

func ExampleParse() {
	p, err := position.Parse("m1:1-2-33,0-1-10")
	fmt.Println(p, err)
	_, err = position.Parse("m9:0-1-10")
	fmt.Println(err)
	// Output:
	// m1:0-1-10,1-2-33 <nil>
	// position: "m9:0-1-10" begins with neither m1: nor g1:: it is no position, or a newer version wrote it
}

func ExampleParseMariaDB() {
	p, err := position.ParseMariaDB("1-2-33, 0-1-10")
	fmt.Println(p, err)
	_, err = position.ParseMariaDB("0-1")
	fmt.Println(err)
	// Output:
	// m1:0-1-10,1-2-33 <nil>
	// position: "0-1" is no MariaDB GTID (domain-server-sequence): 2 numbers, not 3
}

func ExampleParseMySQL() {
	p, err := position.ParseMySQL("3E11FA47-71CA-11E1-9E33-C80AA9429562:1-3:4-5:7-9")
	fmt.Println(p, err)
	// Output:
	// g1:3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7-9 <nil>
}

// A gap is a gap: transaction 6 is missing.
func ExampleReached() {
	have, _ := position.ParseMySQL("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7-9")
	want, _ := position.ParseMySQL("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-7")
	fmt.Println(position.Reached(have, want))
	// Output:
	// false <nil>
}

// A session that wrote twice needs both writes.
func ExampleMerge() {
	first, _ := position.Parse("m1:0-1-10,1-2-33")
	second, _ := position.Parse("m1:0-1-12")
	fmt.Println(position.Merge(first, second))
	// Output:
	// m1:0-1-12,1-2-33 <nil>
}

// A wait for a domain that somebody else writes would be a wait for somebody else.
func ExamplePosition_Only() {
	p, _ := position.ParseMariaDB("255-13-99,256-12-50,257-14-50")
	fmt.Println(p.Only("257"))
	// Output:
	// m1:257-14-50
}

// The text can stand in a cookie, and is the same for equal positions.
func ExamplePosition_String() {
	p, _ := position.ParseMariaDB("1-2-33,0-1-10")
	fmt.Println(p.String())
	// Output:
	// m1:0-1-10,1-2-33
}

// Equal asks for the same transactions; MariaDB's order, and so Reached, does not look at the server that wrote.
func ExamplePosition_Equal() {
	p, _ := position.ParseMariaDB("0-1-9")
	q, _ := position.ParseMariaDB("0-2-9")
	fmt.Println(p.Equal(q))
	fmt.Println(position.Reached(p, q))
	// Output:
	// false
	// true <nil>
}

// A server without a single transaction has the zero position.
func ExamplePosition_IsZero() {
	p, err := position.ParseMariaDB("")
	fmt.Println(p.IsZero(), err)
	// Output:
	// true <nil>
}
