package jail

import "testing"

func TestIdentity(t *testing.T) {
	uid, gid, err := identity(0, 0, UserName)
	if err != nil || uid <= 0 || gid <= 0 {
		t.Errorf("resolved to %d:%d, %v", uid, gid, err)
	}
	if uid, gid, err := identity(1234, 0, UserName); err != nil || uid != 1234 || gid != 1234 {
		t.Errorf("given 1234: %d:%d, %v", uid, gid, err)
	}
	if other, _, err := identity(0, 0, "no-such-account-of-the-test"); err != nil || other == uid {
		t.Errorf("another account's child is user %d as the decoys' is %d, %v", other, uid, err)
	}
	for _, bad := range [][2]int{{-1, 0}, {0, -1}} {
		if _, _, err := identity(bad[0], bad[1], UserName); err == nil {
			t.Errorf("%v accepted", bad)
		}
	}
}
