package bus

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// smallDisk mounts a file system of so many MiB.
func smallDisk(t *testing.T, mib string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a small tmpfs")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+mib+"m"); err != nil {
		t.Skipf("cannot mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

func spaceTopic() Topic[sample] {
	t := sampleTopic()
	t.Limits.MaxBytes = 0
	return t
}

func TestFullDiskStopsPublishingOnly(t *testing.T) {
	dir := smallDisk(t, "24")
	b := openBus(t, Config{Dir: filepath.Join(dir, "bus"), MinFree: 8 << 20, MaxBytes: 1 << 30})
	ctx := t.Context()
	p := must[*Publisher[sample]](t)(NewPublisher(ctx, b, spaceTopic()))
	stored := publishUntilFull(t, p)
	if stored < 10 {
		t.Fatalf("only %d stored", stored)
	}
	err := p.PublishBatch(ctx, []Item[sample]{{}, {}})
	if !errors.Is(err, ErrNoSpace) {
		t.Errorf("batch: %v", err)
	}
	// Reading and acknowledging go on, and so does a restart.
	count := 0
	must[uint64](t)(Read(ctx, b, spaceTopic(), From{}, func(Message[sample]) error { count++; return nil }))
	if count != stored {
		t.Errorf("read %d of %d", count, stored)
	}
	cctx, cancel := context.WithCancel(ctx)
	handled := 0
	if err := Consume(cctx, b, spaceTopic(), "d", ConsumeOptions{}, func(_ context.Context, ms []Message[sample]) error {
		if handled += len(ms); handled >= stored {
			cancel()
		}
		return nil
	}); err != nil || handled != stored {
		t.Errorf("consumed %d, err %v", handled, err)
	}
	closeBus(t, b)
	b = openBus(t, Config{Dir: filepath.Join(dir, "bus"), MinFree: 1 << 20, MaxBytes: 1 << 30}) // as good as freeing space
	p = must[*Publisher[sample]](t)(NewPublisher(ctx, b, spaceTopic()))
	must[uint64](t)(p.Publish(ctx, "k", "", sample{N: stored}))
}

// TestDiskFilledBehindOurBack has another program take the whole disk between two looks at it, so that JetStream
// itself meets ENOSPC and marks the stream as broken for good. Space freed, publishing must work without a restart.
func TestDiskFilledBehindOurBack(t *testing.T) {
	dir := smallDisk(t, "24")
	b := openBus(t, Config{Dir: filepath.Join(dir, "bus"), MinFree: 1, MaxBytes: 1 << 30}) // 1: no reserve, so it happens
	ctx := t.Context()
	p := must[*Publisher[sample]](t)(NewPublisher(ctx, b, spaceTopic()))
	must[uint64](t)(p.Publish(ctx, "k", "", sample{N: 0}))
	hog := filepath.Join(dir, "hog")
	fillUp(t, hog)
	stored := 1 + publishUntilFull(t, p)
	select {
	case <-b.local.failing():
	default:
		t.Error("JetStream did not meet the full disk; this test proves nothing")
	}
	count := 0
	must[uint64](t)(Read(ctx, b, spaceTopic(), From{}, func(Message[sample]) error { count++; return nil }))
	if count < stored {
		t.Errorf("read %d, acknowledged %d", count, stored)
	}
	if err := os.Remove(hog); err != nil {
		t.Fatal(err)
	}
	var seq uint64
	eventually(t, "publishing works again", func() bool {
		var err error
		seq, err = p.Publish(ctx, "k", "", sample{N: -1})
		return err == nil
	})
	if int(seq) <= stored {
		t.Errorf("sequence %d after %d acknowledged", seq, stored)
	}
	found := false
	must[uint64](t)(Read(ctx, b, spaceTopic(), From{}, func(m Message[sample]) error { found = found || m.Value.N == -1; return nil }))
	if !found {
		t.Error("message published after the repair is not there")
	}
}

func fillUp(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 64<<10)
	for err == nil {
		_, err = f.Write(buf)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(end - 100<<10); err != nil { // room for no message, but not nothing
		t.Fatal(err)
	}
}

func publishUntilFull(t *testing.T, p *Publisher[sample]) int {
	t.Helper()
	for n := range 200 {
		_, err := p.Publish(t.Context(), "k", "", sample{N: n, Text: strings.Repeat("x", 256<<10)})
		if errors.Is(err, ErrNoSpace) {
			if !strings.Contains(err.Error(), "free space") {
				t.Errorf("message does not say what to do: %v", err)
			}
			return n
		}
		if err != nil {
			t.Fatalf("message %d: %v", n, err)
		}
	}
	t.Fatal("the disk never got full")
	return 0
}
