package proc

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// Find returns a file named by its whole path, if it is there, or the file of a program: in PATH, or in the sbin beside a bin of PATH, where Debian keeps servers and
// where an ordinary user's PATH does not look.
func Find(program string) (string, bool) {
	if filepath.IsAbs(program) {
		_, err := os.Stat(program)
		return program, err == nil
	}
	if path, err := exec.LookPath(program); err == nil {
		return path, true
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if strings.HasSuffix(dir, "/bin") {
			if path, err := exec.LookPath(strings.TrimSuffix(dir, "bin") + "sbin/" + program); err == nil {
				return path, true
			}
		}
	}
	return "", false
}

// Account is a user of this machine.
type Account struct {
	Name     string
	UID, GID int
}

// Lookup returns the account of that name, else nobody's.
func Lookup(name string) (Account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return Account{}, fmt.Errorf("neither the user %s nor nobody exists: %w", name, err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return Account{}, fmt.Errorf("user %s: uid %q is no number", u.Username, u.Uid)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return Account{}, fmt.Errorf("user %s: gid %q is no number", u.Username, u.Gid)
	}
	return Account{Name: u.Username, UID: uid, GID: gid}, nil
}
