package shell

type cookedReader struct{}

func (cookedReader) Read([]byte) (int, error) { return 0, nil }
