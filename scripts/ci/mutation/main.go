// Sabotage proves that the tests of the steps test something: it takes out one line of isolation
// after another, and each time the test that is there for it has to go red.
//
//	go run ./scripts/ci/mutation              all rows of the table (table.go)
//	go run ./scripts/ci/mutation -step 03     those of one step
//	go run ./scripts/ci/mutation -part 2/3    every third, from the second on
//	go run ./scripts/ci/mutation -p 1         one after the other
//	go run ./scripts/ci/mutation -lessons     the lessons' verdicts instead (lessons.go)
//	go run ./scripts/ci/mutation -v           with all that the tests print
//
// A test that passes shows little until it has been seen to fail: it may look in the wrong place,
// or at nothing. So the tests named in a row run twice: on the tree as it is, where they
// have to pass, and with the line gone, where they have to fail. A build that fails, a skip and a
// timeout are no proof. The tree itself isn't touched: the altered file is laid over the real one
// for the build ("go help build", -overlay).
//
// With its isolation gone, a step does to the host what it should do to its container. So every run
// of the tests has new UTS, IPC, mount and PID namespaces around it (isolate_linux.go).
//
// A test that looks for what is left behind gives it ten seconds to go, and with the line gone they
// pass in vain. So several rows run at once (lanes.go).
//
// The exit status is 0 if all rows went red, 1 if not, and 2 if the program was called wrongly.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// testTimeout is how long the tests of one row may take, and buildTimeout how long it may take to
// build them. A line gone may well mean that something waits forever.
const (
	testTimeout  = 2 * time.Minute
	buildTimeout = 3 * time.Minute
)

// cgroupTree is where the host's cgroups are.
const cgroupTree = "/sys/fs/cgroup"

// main tells apart the two ways in which this program is started.
func main() {
	// The children are to die with this process; the kernel takes the end of the thread that made
	// them for its end (prctl(2), PR_SET_PDEATHSIG), so there is one thread for that.
	runtime.LockOSThread()
	if os.Args[0] == initName {
		os.Exit(beInit(os.Args[1:]))
	}
	only := flag.String("step", "", "only the rows of this `step`, such as 03")
	part := flag.String("part", "1/1", "only every Mth row, from the Nth on: `N/M`, such as 2/3")
	lessons := flag.Bool("lessons", false, "change steps so that verdicts of their lessons change")
	// Not more: some tests need a fair share of a processor to see a limit of theirs reached.
	atOnce := flag.Int("p", runtime.NumCPU(), "how many rows to try at once")
	verbose := flag.Bool("v", false, "print the output of the tests as well")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "mutation: unexpected argument %s\n", flag.Arg(0))
		flag.Usage()
		os.Exit(2)
	}
	if *atOnce < 1 {
		fmt.Fprintf(os.Stderr, "mutation: -p %d: at least one\n", *atOnce)
		os.Exit(2)
	}
	var try func(*mutator) bool
	if *lessons {
		rows := choose(flips, *only, *part)
		try = func(s *mutator) bool { s.contain = containLesson; return s.flipAll(rows) }
	} else {
		rows := choose(table, *only, *part)
		try = func(s *mutator) bool { return s.tryAll(rows) }
	}
	red, err := withMutator(*atOnce, *verbose, try)
	if err != nil {
		fmt.Fprintf(os.Stderr, "mutation: %v\n", err)
	}
	if err != nil || !red {
		os.Exit(1)
	}
}

// choose returns those rows that the flags -step and -part ask for.
func choose[R stepRow](table []R, step, part string) (some []R) {
	rows := ofStep(table, step)
	if len(rows) == 0 && step != "" {
		fmt.Fprintf(os.Stderr, "mutation: the table has no row for step %s\n", step)
		os.Exit(2)
	}
	var n, m int
	if _, err := fmt.Sscanf(part, "%d/%d", &n, &m); err != nil || n < 1 || n > m {
		fmt.Fprintf(os.Stderr, "mutation: -part %s: want N/M, such as 2/3\n", part)
		os.Exit(2)
	}
	for i := n - 1; i < len(rows); i += m {
		some = append(some, rows[i])
	}
	return some
}

// stepRow is a row of either table: it belongs to a step.
type stepRow interface{ of() string }

// of is its step.
func (r row) of() string { return r.step }

// ofStep returns the rows of one step, by its number or its name, or all if there is none given.
func ofStep[R stepRow](rows []R, step string) (some []R) {
	for _, r := range rows {
		if step == "" || r.of() == step || strings.HasPrefix(r.of(), step+"-") {
			some = append(some, r)
		}
	}
	return some
}

// withMutator tries something on the module that the working directory is in, and returns what came
// of it.
func withMutator(atOnce int, verbose bool, try func(*mutator) bool) (bool, error) {
	// Ctrl-C ends the tests first, and only then is their directory removed. So does the end of a
	// reader of the output ("| head").
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM,
		syscall.SIGPIPE)
	defer stop()
	s, err := newSaboteur(ctx, ".", os.Stdout)
	if err != nil {
		return false, err
	}
	defer s.close()
	s.contain, s.atOnce, s.verbose = contain, atOnce, verbose
	red := try(s)
	if ctx.Err() != nil {
		return false, errors.New("interrupted")
	}
	return red, nil
}

// mutator is what all rows have in common.
type mutator struct {
	ctx     context.Context // ends the run
	root    string          // of the module
	goflags string          // what the user has set: it is kept
	scratch string          // a directory for the altered files, and for what the tests make
	timeout time.Duration   // for the tests of one row
	atOnce  int             // how many rows are tried at the same time
	verbose bool
	out     io.Writer
	// contain prepares a command to be run where it can't harm the host.
	contain func(*exec.Cmd) error
}

// newSaboteur finds the module around a directory and makes the scratch directory.
func newSaboteur(ctx context.Context, dir string, out io.Writer) (*mutator, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "-json", "GOMOD", "GOFLAGS")
	cmd.Dir = dir
	answer, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	var env struct{ GOMOD, GOFLAGS string }
	if err := json.Unmarshal(answer, &env); err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	if env.GOMOD == "" || env.GOMOD == os.DevNull {
		return nil, errors.New("this is no Go module: run it in the repository")
	}
	s := &mutator{ctx: ctx, root: filepath.Dir(env.GOMOD), goflags: env.GOFLAGS, out: out,
		timeout: testTimeout, atOnce: 1}
	if s.scratch, err = os.MkdirTemp("", "mutation-"); err != nil {
		return nil, err
	}
	// Root's tests run the steps as an ordinary user too, who must be able to enter.
	if err = os.Chmod(s.scratch, 0o755); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// close removes what is left. Mounts that a test has made inside it ended with the test's mount
// namespace.
func (s *mutator) close() { _ = os.RemoveAll(s.scratch) }

// control is what a row's tests do on the tree as it is.
type control struct {
	tests []string // the selected ones
	err   error    // why nothing can be proved by them
}

// result is what came of a row.
type result struct {
	evidence string          // the first thing that the tests complained of
	err      error           // why the row isn't red
	log      strings.Builder // what the tests printed
}

// tryAll tries the rows, prints the table in its order, and says whether all are red. The controls
// come first: an altered step may leave on the host what disturbs them.
func (s *mutator) tryAll(rows []row) bool {
	if len(rows) == 0 {
		fmt.Fprintln(s.out, "The table has no rows: nothing is proved.")
		return true
	}
	controls := s.controls(rows)
	results := make([]result, len(rows))
	reds := 0
	finished := s.inOrder(lanesOf(rows), func(i int) {
		r, of := rows[i], &results[i]
		of.evidence, of.err = s.try(r, controls[r.step][r.test], &of.log)
	}, func(i int) {
		if results[i].err == nil {
			reds++
		}
		s.print(rows[i], &results[i])
	})
	if !finished {
		return false
	}
	fmt.Fprintf(s.out, "\n%d of %d red\n", reds, len(rows))
	return reds == len(rows)
}

// print prints what came of a row.
func (s *mutator) print(r row, of *result) {
	word, evidence := "red", of.evidence
	if of.err != nil {
		word, evidence = "NOT RED", of.err.Error()
	}
	if s.verbose {
		fmt.Fprint(s.out, of.log.String())
	}
	fmt.Fprintf(s.out, "%-7s  %-18s  %s  (%s)\n", word, r.step, r.takenOut(), r.test)
	fmt.Fprintf(s.out, "         %s\n", evidence)
	if of.err != nil {
		fmt.Fprintf(s.out, "         the line is there for this: %s\n", r.why)
	}
}

// firstLine shortens a text to what names it.
func firstLine(text string) string {
	line, _, more := strings.Cut(strings.TrimSpace(text), "\n")
	if more {
		line += " …"
	}
	return line
}

// takenOut names a row by the first line of its text that isn't put back.
func (r row) takenOut() string {
	for line := range strings.SplitSeq(r.find, "\n") {
		if line = strings.TrimSpace(line); line != "" && !strings.Contains(r.replace, line) {
			return line
		}
	}
	return firstLine(r.find)
}

// controls runs the tests of all rows on the tree as it is: those of a step together, as its own
// "go test" does. It returns what came of them by step and test.
func (s *mutator) controls(rows []row) map[string]map[string]control {
	var steps []string
	tests := map[string][]string{}
	for _, r := range rows {
		if !slices.Contains(steps, r.step) {
			steps = append(steps, r.step)
		}
		if !slices.Contains(tests[r.step], r.test) {
			tests[r.step] = append(tests[r.step], r.test)
		}
	}
	lanes := make([][]int, len(steps))
	for i := range steps {
		lanes[i] = []int{len(steps) - 1 - i} // the last steps take longest
	}
	results := make([]map[string]control, len(steps))
	logs := make([]strings.Builder, len(steps))
	s.inLanes(lanes, func(i int) {
		results[i] = s.control(steps[i], tests[steps[i]], &logs[i])
	})()
	all := map[string]map[string]control{}
	for i, step := range steps {
		all[step] = results[i]
		if s.verbose {
			fmt.Fprint(s.out, logs[i].String())
		}
	}
	return all
}

// control runs tests of a step on the tree as it is: by each of the regular expressions some must
// be selected, and they must pass.
func (s *mutator) control(step string, tests []string, log io.Writer) map[string]control {
	// "go test" takes the expressions one by one where | is between them, with what each says of
	// subtests.
	timeout := s.timeout * time.Duration(len(tests))
	o, err := s.goTest(step, strings.Join(tests, "|"), timeout, "", log)
	all := map[string]control{}
	for _, test := range tests {
		if all[test] = passed(o, test); err != nil {
			all[test] = control{err: err}
		}
		if err := all[test].err; err != nil {
			all[test] = control{err: fmt.Errorf("in the unaltered tree: %w", err)}
		}
	}
	return all
}

// passed looks whether those tests of an outcome passed that a regular expression stands for.
func passed(o *outcome, test string) control {
	if o == nil {
		return control{}
	}
	tests := o.selected(test)
	if len(tests) == 0 {
		return control{err: fmt.Errorf("no test is called %s", test)}
	}
	for _, name := range tests {
		if o.results[name] != "pass" {
			return control{err: fmt.Errorf("%s: %s: %s", name, o.results[name], o.message(name))}
		}
	}
	return control{tests: tests}
}

// try takes out the line of one row. It returns the first thing that the tests complained of, or
// an error if anything but a failure of all of them came of it.
func (s *mutator) try(r row, c control, log io.Writer) (string, error) {
	overlay, err := s.alter(r.step, edit{r.file, r.find, r.replace})
	if err != nil {
		return "", err
	}
	if c.err != nil {
		return "", c.err
	}
	var flags []string
	if len(c.tests) == 1 {
		flags = []string{"-failfast"} // as root, a test runs as two users
	}
	o, err := s.goTest(r.step, r.test, s.timeout, overlay, log, flags...)
	if err != nil {
		return "", err
	}
	for _, name := range c.tests {
		switch o.results[name] {
		case "fail":
		case "pass":
			return "", fmt.Errorf("%s passes without it%s", name, o.skips(name))
		case "skip":
			return "", fmt.Errorf("%s skips without it: %s", name, o.message(name))
		default:
			return "", fmt.Errorf("%s was never finished: %s", name, o.last())
		}
	}
	return o.message(c.tests[0]), nil
}

// edit is a text to take out of a file, and what to put in its place.
type edit struct{ file, find, replace string }

// alter writes the altered files and the overlay that puts them in the real ones' place, and
// returns the overlay's path.
func (s *mutator) alter(step string, edits ...edit) (string, error) {
	dir, err := os.MkdirTemp(s.scratch, "row-")
	if err != nil {
		return "", err
	}
	altered := map[string]string{} // by the real file
	for _, e := range edits {
		path := filepath.Join(s.root, step, e.file)
		source := path
		if altered[path] != "" {
			source = altered[path]
		}
		text, err := os.ReadFile(source)
		if err != nil {
			return "", err
		}
		changed, err := cut(string(text), e.find, e.replace)
		if err != nil {
			return "", fmt.Errorf("%s/%s: %w", step, e.file, err)
		}
		altered[path] = filepath.Join(dir, e.file)
		if err := os.WriteFile(altered[path], []byte(changed), 0o644); err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": altered})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, list, 0o644)
}

// goTest runs tests of one step, with an overlay or without, and writes what they print to log. The
// error is for what is no result of the tests: they could not be built, or took too long.
func (s *mutator) goTest(
	step, test string, timeout time.Duration, overlay string, log io.Writer, flags ...string,
) (*outcome, error) {
	tmp, err := os.MkdirTemp(s.scratch, "tmp-") // what another run leaves in its own isn't seen
	if err == nil {
		err = os.Chmod(tmp, 0o777|os.ModeSticky)
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(s.ctx, timeout+buildTimeout)
	defer cancel()
	// Without vet, which would refuse some of what an altered file may well do.
	args := []string{"test", "-json", "-count=1", "-vet=off", "-timeout=" + timeout.String(),
		"-run=" + test}
	cmd := exec.CommandContext(ctx, "go", slices.Concat(args, flags, []string{"./" + step})...)
	cmd.Dir = s.root
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	if overlay != "" {
		// By the environment and not as a flag, so that a test which runs the go command itself
		// builds the altered step too.
		cmd.Env = append(cmd.Env, "GOFLAGS="+s.goflags+" "+quote("-overlay="+overlay))
	}
	cmd.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := s.contain(cmd); err != nil {
		return nil, err
	}
	before := cgroupsOf(cgroupTree, step)
	err = cmd.Run()
	if failed := removeCgroups(cgroupTree, step, before); failed != nil {
		return nil, failed
	}
	o := readEvents(&stdout)
	fmt.Fprintf(log, "%s%s", o.output.String(), stderr.String())
	var exit *exec.ExitError
	switch {
	case s.ctx.Err() != nil:
		return nil, s.ctx.Err()
	case ctx.Err() != nil, o.timedOut:
		return nil, errors.New("timeout: " + o.last())
	case o.buildFailed:
		return nil, errors.New("it doesn't build: " + o.complaint())
	case err != nil && !errors.As(err, &exit):
		return nil, err
	case err != nil && len(o.results) == 0:
		return nil, fmt.Errorf("go test: %w: %s", err, firstLine(stderr.String()+o.output.String()))
	}
	return o, nil
}

// quote puts quotes around a word of GOFLAGS that has blanks in it.
func quote(word string) string {
	if strings.ContainsAny(word, " \t") {
		return "'" + word + "'"
	}
	return word
}
