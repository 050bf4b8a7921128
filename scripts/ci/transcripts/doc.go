// Package transcripts keeps the chapters true. Its tests run every command that README.md and the
// chapters (NN-name/README.md) show, as the ordinary user a reader is, and compare the output with
// the one that is printed there. They also compare the code and the diffs that a chapter quotes
// with what they are quoted from, and look where its links point.
//
//	go test ./scripts/ci/transcripts            compare
//	go test ./scripts/ci/transcripts -v         … and list what is not run, and why
//	go test ./scripts/ci/transcripts -update    write what the commands print into the chapters
//
// # Transcripts
//
// A transcript is a fenced block marked console:
//
//	$ go run ./02-pid-namespace sh -c 'echo $$'
//	1
//	$ echo one \
//	> two
//	one two
//
// “$ ” and “host$ ” begin a command of the host; bash runs it in the top directory, with an empty
// standard input. The lines up to the next prompt are what it prints, errors included. A “> ” line
// goes on with a command that ends in a backslash. The commands of a block share one shell, each
// block has its own. What a block leaves running is killed at its end.
//
// “container# ” and “jail# ” begin a command for the shell inside: in a block that has such lines
// the first host command whose last word is sh is that shell. It keeps running while the block's
// other commands are run on the host, and at the end of the block it is given end-of-file.
//
// “# ” and “host# ” instead make it a block of root's: there the commands of the host are run as
// root, if the tests are, and else not at all.
//
// HTML comments straight before a block say what is special about it:
//
//	<!-- not run: needs root -->            isn't run, for that reason
//	<!-- needs: ps (procps) -->             runs where that program is, which in CI it must be (in
//	                                        brackets: Debian's package); can be a list with commas
//	<!-- needs: no subordinate IDs -->      runs as a user who has none
//	<!-- needs: all processes in /proc -->  runs where /proc has no mount option hidepid
//	<!-- varies: ^\S+ up (\d+) days -->     what matches, or its groups where the RE2 expression
//	                                        has some, differs from run to run; can be repeated
//
// A (?:…) groups without being such a group. An update rewrites a block as a whole or not at all,
// since the numbers in it belong together, and not for the sake of numbers that may differ.
//
// # What counts as the same
//
// Spacing within a line and blank lines at the end don't count. A number of three or more digits
// stands for any number, one of fewer digits for itself; see [sameText] for the rest. Paths of the
// machine are shown as /repo, /home/you and /tmp.
package transcripts
