package peers

import (
	"testing"

	"github.com/go-sql-driver/mysql"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	_ = mysql.SetLogger(&mysql.NopLogger{}) // servers that are stopped on purpose are nobody's news
	goleak.VerifyTestMain(m,
		// gorm's store of prepared statements has a goroutine that nothing ends.
		goleak.IgnoreAnyFunction("gorm.io/gorm/internal/lru.NewLRU[...].func1"))
}
