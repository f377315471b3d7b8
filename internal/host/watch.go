package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// settleTime is how long Watch waits after a change for more of them: one cable pulled makes dozens.
const settleTime = 100 * time.Millisecond

// Watch calls fn after interfaces, addresses or routes have changed, at most ten times a second, until ctx ends (then it
// returns nil) or the kernel's announcements break off (an error; the caller starts again and looks at everything). It
// blocks; fn runs on the calling goroutine.
func Watch(ctx context.Context, fn func()) error {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		return fmt.Errorf("watch network: %w", err)
	}
	changed := make(chan struct{}, 1)
	broke := make(chan error, 1)
	go func() {
		defer close(broke)
		for {
			_, _, err := s.Receive()
			if err != nil && !errors.Is(err, unix.ENOBUFS) { // lost some: something did change
				broke <- err
				return
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	defer func() { // closing wakes the receiver; it is waited for
		for range broke {
		}
	}()
	defer s.Close()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-broke:
			return fmt.Errorf("watch network: %w", err)
		case <-changed:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(settleTime):
		}
		select {
		case <-changed:
		default:
		}
		fn()
	}
}
