package jail

import (
	"fmt"
	"os/user"
	"strconv"
)

// UserName is the account decoys run as when it exists (the installer makes it).
const UserName = "bartizan-decoy"

// Numeric ids used when there is no such account: the first of the range that the user database does not know. The range
// is reserved for local use on Debian and outside what systemd (61184–65519, 60001–60513) and containers (from 100000)
// hand out.
const (
	firstID = 59733
	lastID  = 59799
)

// identity resolves the user and group a child of a root parent gets. Without its account the decoys' process
// gets the first free id and any other the last one, so that two children are not one user.
func identity(uid, gid int, account string) (int, int, error) {
	if uid < 0 || gid < 0 {
		return 0, 0, fmt.Errorf("choose user: id %d:%d is negative", uid, gid)
	}
	if uid > 0 {
		if gid == 0 {
			gid = uid
		}
		return uid, gid, nil
	}
	if u, err := user.Lookup(account); err == nil {
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 != nil || err2 != nil || uid <= 0 || gid <= 0 {
			return 0, 0, fmt.Errorf("choose user: account %q has the ids %q:%q; it must not be root", account, u.Uid, u.Gid)
		}
		return uid, gid, nil
	}
	for n := range lastID - firstID + 1 {
		id := firstID + n
		if account != UserName {
			id = lastID - n
		}
		s := strconv.Itoa(id)
		_, err := user.LookupId(s)
		_, gerr := user.LookupGroupId(s)
		if err != nil && gerr != nil {
			return id, id, nil
		}
	}
	return 0, 0, fmt.Errorf("choose user: the ids %d to %d are all taken; create the account %q", firstID, lastID, account)
}

// nameOf names a user for people.
func nameOf(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "uid " + strconv.Itoa(uid)
}
