// Package keeper keeps the keys of model providers in a process of their own, so
// that the process which reads hostile requests and answers does not have them in its
// memory. The keeper is a jailed child of this same binary (package jail): no files, no
// new sockets, no programs, no core dumps.
//
// It opens nothing itself. The gateway opens the file of a key and hands over the
// descriptor without reading it. For each connection to a provider the gateway connects
// to its address (names, proxies and routes are its affair) and hands over that socket with
// one end of a socket pair. The keeper speaks TLS on the socket, with the name of the
// configured upstream and no other: who answers has proved to be the provider before a
// key is sent. Over the pair the gateway speaks HTTP/1.1 as it would to the provider. The
// keeper reads the heads of requests only, puts the key in, and passes all other
// bytes on as they are; it never reads an answer.
//
// A gateway whose memory is read, by a bug or in a core dump, has no key in it. One that
// was taken over can use the keys while it runs, and open a key's file again if its user
// may.
//
// Only the keeper can speak TLS, because who has the keys of the session sees the
// header; so every byte takes one more hop, which is measured by bench/gateway -keeper.
package keeper
