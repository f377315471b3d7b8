package correlate

import (
	"log"
	"os"
)

var elsewhere int

func leave() {
	os.Exit(1)      // want exit
	log.Fatalf("x") // want exit
	log.Println("fine")
}
