// Package mcp holds what the scanner and the gateway know of the Model Context
// Protocol (modelcontextprotocol.io): messages, tool definitions and their
// hashes, client configurations, and words that a definition should not have.
// It reads bytes that others wrote; it starts, sends and decides nothing.
package mcp
