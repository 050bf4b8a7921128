//go:build linux

// What a hint sees of your code.

package main

import (
	"go/scanner"
	"go/token"
	"strings"
)

// withoutComments returns Go source without comments and blanks, so that a hint finds a call in it
// however it is laid out.
func withoutComments(source string) string {
	var b strings.Builder
	var s scanner.Scanner
	fset := token.NewFileSet()
	s.Init(fset.AddFile("", fset.Base(), len(source)), []byte(source), nil, 0)
	for {
		_, tok, text := s.Scan()
		switch {
		case tok == token.EOF:
			return b.String()
		case text == "" || tok.IsOperator() && tok != token.SEMICOLON:
			text = tok.String()
		case tok == token.SEMICOLON:
			text = ";"
		}
		b.WriteString(text)
	}
}
