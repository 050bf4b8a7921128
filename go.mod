module jail-to-container

// The least that the two direct dependencies allow: color v1.19.0 and x/sys v0.47.0 both ask for
// go 1.25. (x/sys v0.48.0 asks for 1.26, and workshop laptops are not always on the newest Go.)
go 1.25.0

require (
	github.com/fatih/color v1.19.0
	golang.org/x/sys v0.47.0
)

require (
	github.com/mattn/go-colorable v0.1.14 // indirect
	github.com/mattn/go-isatty v0.0.20 // indirect
)
