package secret

import "strings"

// lexicon has words that pass phrases are made of in Spanish, French, German
// and Italian: a secret of words is told as well by their translations. What is
// not in it is not found translated.
var lexicon = func() map[string]string {
	m := map[string]string{}
	for _, line := range strings.Split(`harbour puerto port hafen porto|harbor puerto port hafen porto|river rio riviere fluss fiume|mountain montana montagne berg montagna|forest bosque foret wald foresta
ocean oceano ocean ozean oceano|island isla ile insel isola|bridge puente pont brucke ponte|castle castillo chateau schloss castello|garden jardin jardin garten giardino|window ventana fenetre fenster finestra
silver plata argent silber argento|golden dorado dore golden dorato|orange naranja orange orange arancione|purple morado pourpre lila viola|violet violeta violet violett viola|yellow amarillo jaune gelb giallo
green verde vert grun verde|blue azul bleu blau blu|black negro noir schwarz nero|white blanco blanc weiss bianco|winter invierno hiver winter inverno|summer verano ete sommer estate|autumn otono automne herbst autunno
spring primavera printemps fruhling primavera|tiger tigre tigre tiger tigre|otter nutria loutre otter lontra|eagle aguila aigle adler aquila|falcon halcon faucon falke falco|horse caballo cheval pferd cavallo
rabbit conejo lapin kaninchen coniglio|dragon dragon dragon drache drago|turtle tortuga tortue schildkrote tartaruga|wolf lobo loup wolf lupo|bear oso ours bar orso|apple manzana pomme apfel mela
lemon limon citron zitrone limone|cherry cereza cerise kirsche ciliegia|honey miel miel honig miele|coffee cafe cafe kaffee caffe|bread pan pain brot pane|battery bateria batterie batterie batteria
staple grapa agrafe klammer graffetta|correct correcto correct richtig corretto|secret secreto secret geheim segreto|password contrasena motdepasse passwort parola|thunder trueno tonnerre donner tuono
lightning relampago eclair blitz fulmine|shadow sombra ombre schatten ombra|crystal cristal cristal kristall cristallo|copper cobre cuivre kupfer rame|marble marmol marbre marmor marmo|hammer martillo marteau hammer martello
anchor ancla ancre anker ancora|lantern linterna lanterne laterne lanterna|rocket cohete fusee rakete razzo|planet planeta planete planet pianeta|galaxy galaxia galaxie galaxie galassia|comet cometa comete komet cometa
moon luna lune mond luna|star estrella etoile stern stella|storm tormenta tempete sturm tempesta|cloud nube nuage wolke nuvola|stone piedra pierre stein pietra|sword espada epee schwert spada|king rey roi konig re
queen reina reine konigin regina|north norte nord norden nord|south sur sud suden sud|east este est osten est|west oeste ouest westen ovest|water agua eau wasser acqua|fire fuego feu feuer fuoco|salmon salmon saumon lachs salmone
raven cuervo corbeau rabe corvo|meadow prado prairie wiese prato|velvet terciopelo velours samt velluto|candle vela bougie kerze candela|mirror espejo miroir spiegel specchio|pepper pimienta poivre pfeffer pepe|ginger jengibre gingembre ingwer zenzero`, "|") {
		for _, group := range strings.Split(line, "\n") {
			w := strings.Fields(group)
			for _, foreign := range w[min(1, len(w)):] {
				if _, ok := m[foreign]; !ok {
					m[foreign] = w[0]
				}
			}
		}
	}
	return m
}()

// starts has a bit for each length of the words of names and lexicon that begin with two
// letters: nearly every word of a text begins otherwise, and is looked up nowhere.
var starts = func() (s [26 * 26]uint32) {
	add := func(w string) {
		s[int(w[0]-'a')*26+int(w[1]-'a')] |= 1 << len(w)
	}
	for w := range names {
		add(w)
	}
	for w := range lexicon {
		add(w)
	}
	return s
}()

// listed says whether a word of two letters or more may be in names or lexicon.
func listed(low []byte) bool {
	a, b := low[0]-'a', low[1]-'a'
	return a < 26 && b < 26 && starts[int(a)*26+int(b)]>>(len(low)&31)&1 != 0
}

func translated(low []byte) (string, bool) {
	if len(low) < 2 || len(low) > 16 || !listed(low) {
		return "", false
	}
	if d, ok := names[string(low)]; ok && d >= 26 {
		return digitText[d-26], true
	}
	english, ok := lexicon[string(low)]
	return english, ok
}

var digitText = [10]string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}
