package pii

import "bytes"

// plain says that there are only digits, not all of them the same.
func plain(s []byte) bool {
	for _, c := range s {
		if !isDigit(c) {
			return false
		}
	}
	return len(bytes.Trim(s, string(s[:1]))) > 0
}

// weigh is the sum of the digits of s times weights, as far as there are weights.
func weigh(s []byte, weights ...int) (sum int) {
	for i, w := range weights {
		sum += int(s[i]-'0') * w
	}
	return sum
}

func at(s []byte, i int) int { return int(s[i] - '0') }

func two(s []byte, i int) int { return at(s, i)*10 + at(s, i+1) }

// date says whether there are a day and a month of a year at these places.
func date(s []byte, day, month int) bool {
	return between(two(s, day), 1, 31) && between(two(s, month), 1, 12)
}

func between(n, from, to int) bool { return n >= from && n <= to }

func luhn(s []byte) bool {
	if !plain(s) {
		return false
	}
	sum := 0
	for i := range s {
		x := at(s, len(s)-1-i)
		if i%2 == 1 {
			if x *= 2; x > 9 {
				x -= 9
			}
		}
		sum += x
	}
	return sum%10 == 0
}

// iso7064 is MOD 11,10 of ISO/IEC 7064.
func iso7064(s []byte) bool {
	if !plain(s) {
		return false
	}
	p := 10
	for i := range len(s) - 1 {
		x := (at(s, i) + p) % 10
		if x == 0 {
			x = 10
		}
		p = x * 2 % 11
	}
	return (11-p)%10 == at(s, len(s)-1)
}

// verhoeff is the check digit of J. Verhoeff, Error Detecting Decimal Codes (1969).
func verhoeff(s []byte) bool {
	perm := [10]int{1, 5, 7, 6, 2, 8, 3, 0, 9, 4}
	mul := func(a, b int) int { // of the dihedral group of order 10
		switch {
		case a < 5 && b < 5:
			return (a + b) % 5
		case a < 5:
			return (a+b-5)%5 + 5
		case b < 5:
			return (a-5-b+5)%5 + 5
		}
		return (a - b + 5) % 5
	}
	c := 0
	for i := range s {
		x := at(s, len(s)-1-i)
		for range i % 8 {
			x = perm[x]
		}
		c = mul(c, x)
	}
	return c == 0
}
