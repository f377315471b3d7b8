package pii

import "bytes"

// ids are the numbers that are known, by country (ISO 3166). Sources are the issuers'
// descriptions, as the catalogue of python-stdnum collects them too.
var ids = []id{
	{name: "AR CUIL", least: 11, most: 11, valid: arCUIL, words: "cuil cuit", form: "99-99999999-9"},
	{name: "AT SVNR", least: 10, most: 10, valid: atSVNR, words: "svnr sv-nr sozialversicherung versicherungsnummer"},
	{name: "AU Medicare", least: 10, most: 11, valid: auMedicare, words: "medicare"},
	{name: "AU TFN", least: 8, most: 9, valid: auTFN, words: "tfn tax_file"},
	{name: "BE NN", least: 11, most: 11, valid: beNN, words: "rijksregister nationaal registre numéro_national niss insz", form: "99.99.99-999.99"},
	{name: "BG EGN", least: 10, most: 10, valid: bgEGN, words: "егн egn"},
	{name: "BR CPF", least: 11, most: 11, valid: brCPF, words: "cpf", form: "999.999.999-99"},
	{name: "CA SIN", least: 9, most: 9, valid: caSIN, words: "sin social_insurance nas assurance_sociale"},
	{name: "CH AHV", least: 13, most: 13, valid: chAHV},
	{name: "CL RUT", least: 8, most: 9, valid: clRUT, words: "rut", form: "99.999.999-9"},
	{name: "CN ID", least: 18, most: 18, valid: cnID},
	{name: "CZ RČ", least: 10, most: 10, valid: czRC, words: "rodné rodne rč r.č", form: "999999/9999"},
	{name: "DE Steuer-ID", least: 11, most: 11, valid: deSteuerID, words: "steuer idnr tin identifikationsnummer"},
	{name: "DE RVNR", least: 12, most: 12, valid: deRVNR, words: "rentenversicherung sozialversicherung sv-nummer versicherungsnummer"},
	{name: "DK CPR", least: 10, most: 10, valid: dkCPR, words: "cpr cpr-nummer personnummer"},
	{name: "EC cédula", least: 10, most: 10, valid: ecCedula, words: "cédula cedula"},
	{name: "EE IK", least: 11, most: 11, valid: eeIK, words: "isikukood asmens_kod"},
	{name: "ES DNI", least: 9, most: 9, valid: esDNI, words: "dni nif nie documento identidad"},
	{name: "FI HETU", least: 10, most: 11, valid: func(s []byte) bool { return fiHETU(s) && isCapital(s[len(s)-1]) }},
	{name: "FI HETU", least: 10, most: 11, valid: fiHETU, words: "hetu henkilötunnus"},
	{name: "FR NIR", least: 15, most: 15, valid: frNIR},
	{name: "GB NHS", least: 10, most: 10, valid: gbNHS, words: "nhs"},
	{name: "GB NINO", least: 9, most: 9, valid: gbNINO, words: "national_insurance nino ni_number ni_no"},
	{name: "GR AMKA", least: 11, most: 11, valid: grAMKA, words: "amka αμκα"},
	{name: "HR OIB", least: 11, most: 11, valid: iso7064, words: "oib"},
	{name: "HU TAJ", least: 9, most: 9, valid: huTAJ, words: "taj taj-szám"},
	{name: "IE PPSN", least: 8, most: 9, valid: iePPS, words: "pps ppsn"},
	{name: "IL ID", least: 9, most: 9, valid: luhn, words: "זהות teudat_zehut israeli_id"},
	{name: "IN Aadhaar", least: 12, most: 12, valid: inAadhaar, words: "aadhaar aadhar uidai आधार"},
	{name: "IS kennitala", least: 10, most: 10, valid: isKennitala, words: "kennitala"},
	{name: "IT CF", least: 16, most: 16, valid: itCF},
	{name: "JP My Number", least: 12, most: 12, valid: jpMyNumber, words: "マイナンバー 個人番号 my_number mynumber"},
	{name: "KR RRN", least: 13, most: 13, valid: krRRN, words: "주민등록번호 주민 rrn resident_registration", form: "999999-9999999"},
	{name: "KZ IIN", least: 12, most: 12, valid: kzIIN, words: "иин жсн iin"},
	{name: "MX CURP", least: 18, most: 18, valid: mxCURP},
	{name: "NL BSN", least: 9, most: 9, valid: nlBSN, words: "bsn burgerservice sofinummer"},
	{name: "NO FNR", least: 11, most: 11, valid: noFNR},
	{name: "NZ IRD", least: 8, most: 9, valid: nzIRD, words: "ird inland_revenue"},
	{name: "PL PESEL", least: 11, most: 11, valid: plPESEL, words: "pesel"},
	{name: "PT NIF", least: 9, most: 9, valid: ptNIF, words: "nif contribuinte"},
	{name: "RO CNP", least: 13, most: 13, valid: roCNP},
	{name: "RS JMBG", least: 13, most: 13, valid: jmbg, words: "jmbg emšo emso jmb matični"},
	{name: "RU INN", least: 12, most: 12, valid: ruINN, words: "инн"},
	{name: "RU SNILS", least: 11, most: 11, valid: ruSNILS, words: "снилс snils", form: "999-999-999 99"},
	{name: "SE PNR", least: 10, most: 12, valid: sePNR, words: "personnummer samordningsnummer", form: "999999-9999"},
	{name: "SE PNR", least: 12, most: 12, valid: sePNR, words: "personnummer", form: "99999999-9999"},
	{name: "SG NRIC", least: 9, most: 9, valid: sgNRIC},
	{name: "TH ID", least: 13, most: 13, valid: thID, words: "ประชาชน thai_id", form: "9-9999-99999-99-9"},
	{name: "TR TCKN", least: 11, most: 11, valid: trTCKN, words: "tc tckn kimlik t.c"},
	{name: "TW ID", least: 10, most: 10, valid: twID, words: "身分證 身份證 統一編號 national_id"},
	{name: "UA RNOKPP", least: 10, most: 10, valid: uaRNOKPP, words: "рнокпп іпн ідентифікаційний"},
	{name: "US ITIN", least: 9, most: 9, valid: usITIN, words: "itin"},
	{name: "ZA ID", least: 13, most: 13, valid: zaID, words: "id identity identiteit"},
}

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
