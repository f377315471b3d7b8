package secret

// orders are the simple transpositions of words by their length, up to that of most
// words that may be codes: making them takes longer than reading what they say.
var orders = func() (o [65][][]int16) {
	for n := range o {
		o[n] = transpositions(order(n))
	}
	return o
}()

// transposedOrders are the orders in which the characters of a word of n may stand. They
// must not be changed.
func transposedOrders(n int) [][]int16 {
	if n < len(orders) {
		return orders[n]
	}
	return transpositions(order(n))
}
