package pii

import "bytes"

func iePPS(s []byte) bool {
	if !plain(s[:7]) || !isCapital(s[7]) || len(s) == 9 && !isCapital(s[8]) {
		return false
	}
	sum := weigh(s, 8, 7, 6, 5, 4, 3, 2)
	if len(s) == 9 && s[8] != 'W' {
		sum += int(s[8]-'A'+1) * 9
	}
	return "WABCDEFGHIJKLMNOPQRSTUV"[sum%23] == s[7]
}

func inAadhaar(s []byte) bool { return plain(s) && s[0] > '1' && verhoeff(s) }

func isKennitala(s []byte) bool {
	return plain(s) && date(s, 0, 2) && (11-weigh(s, 3, 2, 7, 6, 5, 4, 3, 2)%11)%11 == at(s, 8)
}

func itCF(s []byte) bool {
	for i, c := range s {
		letter := i < 6 || i == 8 || i == 11 || i == 15
		if letter != isCapital(c) {
			return false
		}
	}
	if bytes.IndexByte([]byte("ABCDEHLMPRST"), s[8]) < 0 || !between(two(s, 9)%40, 1, 31) {
		return false
	}
	odd := [...]int{1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23}
	sum := 0
	for i, c := range s[:15] {
		v := int(c - 'A')
		if isDigit(c) {
			v = int(c - '0')
		}
		if i%2 == 0 {
			v = odd[v]
		}
		sum += v
	}
	return byte('A'+sum%26) == s[15]
}

func jpMyNumber(s []byte) bool {
	if !plain(s) {
		return false
	}
	r := weigh(s, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2) % 11
	if r <= 1 {
		return at(s, 11) == 0
	}
	return 11-r == at(s, 11)
}

func krRRN(s []byte) bool {
	return plain(s) && date(s, 4, 2) && between(at(s, 6), 1, 8) && (11-weigh(s, 2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)%11)%10 == at(s, 12)
}

func kzIIN(s []byte) bool {
	if !plain(s) || !date(s, 4, 2) || !between(at(s, 6), 1, 6) {
		return false
	}
	r := weigh(s, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11) % 11
	if r == 10 {
		r = weigh(s, 3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2) % 11
	}
	return r == at(s, 11)
}

func mxCURP(s []byte) bool {
	for i, c := range s {
		letter := i < 4 || i >= 10 && i < 16
		if letter && !isCapital(c) || !letter && i != 16 && !isDigit(c) {
			return false
		}
	}
	if !date(s, 8, 6) || bytes.IndexByte([]byte("HMX"), s[10]) < 0 {
		return false
	}
	sum := 0
	for i, c := range s[:17] {
		v := int(c - '0')
		if isCapital(c) {
			v = int(c-'A') + 10
			if c > 'N' {
				v++ // Ñ stands between
			}
		}
		sum += v * (18 - i)
	}
	return (10-sum%10)%10 == at(s, 17)
}

func nlBSN(s []byte) bool { return plain(s) && weigh(s, 9, 8, 7, 6, 5, 4, 3, 2, -1)%11 == 0 }

func noFNR(s []byte) bool {
	return plain(s) && between(two(s, 0)%40, 1, 31) && between(two(s, 2)%40, 1, 12) &&
		weigh(s, 3, 7, 6, 1, 8, 9, 4, 5, 2, 1)%11 == 0 && weigh(s, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)%11 == 0
}

func nzIRD(s []byte) bool {
	b := s
	if len(b) == 8 {
		b = append([]byte{'0'}, s...)
	}
	if !plain(b) {
		return false
	}
	r := (11 - weigh(b, 3, 2, 7, 6, 5, 4, 3, 2)%11) % 11
	if r == 10 {
		r = (11 - weigh(b, 7, 4, 3, 2, 5, 2, 7, 6)%11) % 11
	}
	return r == at(b, 8)
}

func plPESEL(s []byte) bool {
	return plain(s) && between(two(s, 2)%20, 1, 12) && between(two(s, 4), 1, 31) && (10-weigh(s, 1, 3, 7, 9, 1, 3, 7, 9, 1, 3)%10)%10 == at(s, 10)
}

func ptNIF(s []byte) bool {
	if !plain(s) {
		return false
	}
	r := 11 - weigh(s, 9, 8, 7, 6, 5, 4, 3, 2)%11
	return r%11%10 == at(s, 8) || r >= 10 && at(s, 8) == 0
}

func roCNP(s []byte) bool {
	return plain(s) && between(at(s, 0), 1, 8) && date(s, 5, 3) && between(two(s, 7), 1, 52) && weigh(s, 2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)%11%10 == at(s, 12)%10 &&
		(weigh(s, 2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)%11 != 10 || at(s, 12) == 1)
}

func jmbg(s []byte) bool {
	if !plain(s) || !date(s, 0, 2) {
		return false
	}
	r := (11 - weigh(s, 7, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)%11) % 11
	return r == at(s, 12)
}

func ruINN(s []byte) bool {
	return plain(s) && weigh(s, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8)%11%10 == at(s, 10) && weigh(s, 3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8)%11%10 == at(s, 11)
}

func ruSNILS(s []byte) bool {
	return plain(s) && weigh(s, 9, 8, 7, 6, 5, 4, 3, 2, 1)%101%100 == two(s, 9)
}

func sePNR(s []byte) bool {
	if len(s) == 12 {
		if !plain(s) || !between(two(s, 0), 18, 20) {
			return false
		}
		s = s[2:]
	}
	return len(s) == 10 && luhn(s) && between(two(s, 2), 1, 12) && between(two(s, 4)%60, 1, 31)
}

func sgNRIC(s []byte) bool {
	if !plain(s[1:8]) || !isCapital(s[8]) {
		return false
	}
	sum, table := weigh(s[1:], 2, 7, 6, 5, 4, 3, 2), "JZIHGFEDCBA"
	switch s[0] {
	case 'S':
	case 'T':
		sum += 4
	case 'F':
		table = "XWUTRQPNMLK"
	case 'G':
		sum, table = sum+4, "XWUTRQPNMLK"
	case 'M':
		return "KLJNPQRTUWX"[10-(sum+3)%11] == s[8]
	default:
		return false
	}
	return table[sum%11] == s[8]
}

func thID(s []byte) bool {
	return plain(s) && between(at(s, 0), 1, 8) && (11-weigh(s, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2)%11)%10 == at(s, 12)
}

func trTCKN(s []byte) bool {
	if !plain(s) || s[0] == '0' {
		return false
	}
	odd, even := weigh(s, 1, 0, 1, 0, 1, 0, 1, 0, 1), weigh(s, 0, 1, 0, 1, 0, 1, 0, 1)
	return (odd*7-even+100)%10 == at(s, 9) && (odd+even+at(s, 9))%10 == at(s, 10)
}

func twID(s []byte) bool {
	k := bytes.IndexByte([]byte("ABCDEFGHJKLMNPQRSTUVXYWZIO"), s[0])
	if k < 0 || !plain(s[1:]) || s[1] != '1' && s[1] != '2' && s[1] != '8' && s[1] != '9' {
		return false
	}
	k += 10
	return (k/10+k%10*9+weigh(s[1:], 8, 7, 6, 5, 4, 3, 2, 1, 1))%10 == 0
}

func uaRNOKPP(s []byte) bool {
	return plain(s) && (weigh(s, -1, 5, 7, 9, 4, 6, 10, 5, 7)%11+11)%11%10 == at(s, 9)
}

func usITIN(s []byte) bool {
	g := 0
	if !plain(s) || s[0] != '9' {
		return false
	}
	g = two(s, 3)
	return between(g, 50, 65) || between(g, 70, 88) || between(g, 90, 92) || between(g, 94, 99)
}

func zaID(s []byte) bool { return luhn(s) && date(s, 4, 2) && between(at(s, 10), 0, 2) }
