package pii

import "bytes"

func arCUIL(s []byte) bool {
	if !plain(s) || !bytes.Contains([]byte("20 23 24 27"), s[:2]) {
		return false
	}
	r := (11 - weigh(s, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)%11) % 11
	return r == at(s, 10) || r == 10 && at(s, 10) == 9
}

func atSVNR(s []byte) bool {
	return plain(s) && s[0] != '0' && date(s, 4, 6) && weigh(s, 3, 7, 9, 0, 5, 8, 4, 2, 1, 6)%11 == at(s, 3)
}

func auMedicare(s []byte) bool {
	return plain(s) && between(at(s, 0), 2, 6) && weigh(s, 1, 3, 7, 9, 1, 3, 7, 9)%10 == at(s, 8)
}

func auTFN(s []byte) bool {
	if !plain(s) {
		return false
	}
	if len(s) == 8 {
		return weigh(s, 10, 7, 8, 4, 6, 3, 5, 1)%11 == 0
	}
	return weigh(s, 1, 4, 3, 7, 5, 8, 6, 9, 10)%11 == 0
}

func beNN(s []byte) bool {
	if !plain(s) || two(s, 2)%20 > 12 || two(s, 4) > 31 {
		return false
	}
	n := 0
	for i := range 9 {
		n = n*10 + at(s, i)
	}
	check := two(s, 9)
	return 97-n%97 == check || 97-(2_000_000_000+n)%97 == check
}

func bgEGN(s []byte) bool {
	return plain(s) && between(two(s, 2)%20, 1, 12) && between(two(s, 4), 1, 31) && weigh(s, 2, 4, 8, 5, 10, 9, 7, 3, 6)%11%10 == at(s, 9)
}

func brCPF(s []byte) bool {
	if !plain(s) {
		return false
	}
	return weigh(s, 10, 9, 8, 7, 6, 5, 4, 3, 2)*10%11%10 == at(s, 9) && weigh(s, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2)*10%11%10 == at(s, 10)
}

func caSIN(s []byte) bool { return luhn(s) && s[0] != '0' && s[0] != '8' }

func chAHV(s []byte) bool {
	return plain(s) && bytes.HasPrefix(s, []byte("756")) && (10-weigh(s, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3)%10)%10 == at(s, 12)
}

func clRUT(s []byte) bool {
	body, check := s[:len(s)-1], s[len(s)-1]
	if !plain(body) {
		return false
	}
	sum := 0
	for i := range body {
		sum += at(body, len(body)-1-i) * (i%6 + 2)
	}
	return "0123456789K"[(11-sum%11)%11] == check
}

func cnID(s []byte) bool {
	if !plain(s[:17]) || !between(two(s, 6), 18, 20) || !date(s, 12, 10) {
		return false
	}
	return "10X98765432"[weigh(s, 7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)%11] == s[17]
}

func czRC(s []byte) bool {
	if !plain(s) || !between(two(s, 2)%50%20, 1, 12) || !between(two(s, 4), 1, 31) {
		return false
	}
	n := 0
	for i := range 10 {
		n = n*10 + at(s, i)
	}
	return n%11 == 0
}

func deSteuerID(s []byte) bool {
	if s[0] == '0' || !iso7064(s) {
		return false
	}
	var n [10]int
	for i := range 10 {
		n[at(s, i)]++
	}
	twice := 0
	for _, k := range n {
		if k > 3 {
			return false
		}
		if k > 1 {
			twice++
		}
	}
	return twice == 1
}

func deRVNR(s []byte) bool {
	if !plain(s[:8]) || !isCapital(s[8]) || !plain(s[9:]) && string(s[9:]) != "000" || !between(two(s, 2)%50, 1, 31) || !between(two(s, 4), 1, 12) {
		return false
	}
	letter := int(s[8]-'A') + 1
	full := append(append(append([]byte{}, s[:8]...), byte('0'+letter/10), byte('0'+letter%10)), s[9:11]...)
	sum := 0
	for i, w := range [...]int{2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1} {
		x := at(full, i) * w
		sum += x/10 + x%10
	}
	return sum%10 == at(s, 11)
}

func dkCPR(s []byte) bool { return plain(s) && date(s, 0, 2) } // check digits are no longer kept to since 2007

func ecCedula(s []byte) bool { return luhn(s) && between(two(s, 0), 1, 24) && s[2] < '6' }

func eeIK(s []byte) bool {
	if !plain(s) || !between(at(s, 0), 1, 8) || !date(s, 5, 3) {
		return false
	}
	r := weigh(s, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1) % 11
	if r == 10 {
		r = weigh(s, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3) % 11 % 10
	}
	return r == at(s, 10)
}

func esDNI(s []byte) bool {
	b := bytes.Clone(s)
	if k := bytes.IndexByte([]byte("XYZ"), b[0]); k >= 0 {
		b[0] = byte('0' + k)
	}
	if !plain(b[:8]) {
		return false
	}
	n := 0
	for i := range 8 {
		n = n*10 + at(b, i)
	}
	return "TRWAGMYFPDXBNJZSQVHLCKE"[n%23] == b[8]
}

func fiHETU(s []byte) bool {
	if !plain(s[:6]) || !date(s, 0, 2) {
		return false
	}
	rest := s[6:]
	if len(s) == 11 {
		if bytes.IndexByte([]byte("ABCDEFYXWVU"), s[6]) < 0 {
			return false
		}
		rest = s[7:]
	}
	n := 0
	for _, c := range append(append([]byte{}, s[:6]...), rest[:3]...) {
		if !isDigit(c) {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return "0123456789ABCDEFHJKLMNPRSTUVWXY"[n%31] == rest[3]
}

func frNIR(s []byte) bool {
	if s[0] != '1' && s[0] != '2' {
		return false
	}
	b, less := bytes.Clone(s), 0
	if b[5] == '2' && (b[6] == 'A' || b[6] == 'B') { // Corsica counts as 19 and 18
		less = int(b[6]-'A') + 1
		b[5], b[6] = '1', byte('9'+1-less)
	}
	if !plain(b) {
		return false
	}
	if m := two(b, 3); !between(m, 1, 12) && !between(m, 20, 42) && m < 50 {
		return false
	}
	n := 0
	for i := range 13 {
		n = n*10 + at(b, i)
	}
	return 97-n%97 == two(b, 13)
}

func gbNHS(s []byte) bool {
	return plain(s) && (11-weigh(s, 10, 9, 8, 7, 6, 5, 4, 3, 2)%11)%11 == at(s, 9)
}

func gbNINO(s []byte) bool {
	return bytes.IndexByte([]byte("ABCEGHJKLMNOPRSTWXYZ"), s[0]) >= 0 && bytes.IndexByte([]byte("ABCEGHJKLMNPRSTWXYZ"), s[1]) >= 0 && plain(s[2:8]) && between(int(s[8]), 'A', 'D')
}

func grAMKA(s []byte) bool { return luhn(s) && date(s, 0, 2) }

func huTAJ(s []byte) bool { return plain(s) && weigh(s, 3, 7, 3, 7, 3, 7, 3, 7)%10 == at(s, 8) }
