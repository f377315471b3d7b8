package keys

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
)

// The forms of providers' keys that bait can have, after what the providers give out.
func likes() map[string]func() string {
	const (
		letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
		url     = letters + "-_"
	)
	return map[string]func() string{
		"aws":       func() string { return awsID + random("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16) },
		"openai":    func() string { return "sk-proj-" + random(url, 74) + "T3BlbkFJ" + random(url, 74) },
		"anthropic": func() string { return "sk-ant-api03-" + random(url, 93) + "AA" },
		"gemini":    func() string { return "AIzaSy" + random(url, 33) },
		"groq":      func() string { return "gsk_" + random(letters, 52) },
	}
}

// awsID begins the id of an AWS access key. Of these a request shows the id only: it is what
// is recognised, and a secret goes with it because a thief looks for both.
const (
	awsID     = "AKIA"
	awsSecret = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"
)

// dressed is bait as it is laid out.
func dressed(like, text string) string {
	if like != "aws" {
		return text
	}
	return "aws_access_key_id = " + text + "\naws_secret_access_key = " + random(awsSecret, 40)
}

// Likes are the providers whose keys bait can look like.
func Likes() []string {
	var out []string
	for name := range likes() {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func mintLike(provider string) (string, error) {
	mint, ok := likes()[provider]
	if !ok {
		return "", fmt.Errorf("%w: like %.20q: one of %s", ErrInput, provider, strings.Join(Likes(), ", "))
	}
	return mint(), nil
}

// random is n characters of an alphabet, each as likely as the others.
func random(alphabet string, n int) string {
	out := make([]byte, 0, n)
	for len(out) < n {
		var b [64]byte
		_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
		for _, c := range b {
			if int(c) < 256/len(alphabet)*len(alphabet) && len(out) < n {
				out = append(out, alphabet[int(c)%len(alphabet)])
			}
		}
	}
	return string(out)
}
