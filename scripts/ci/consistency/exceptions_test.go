// The one table of what may differ between two neighbouring steps.

package consistency

// every in an exception's pair or file stands for all of them.
const every = "*"

// exception is leave for one declaration to differ between two neighbouring steps.
type exception struct {
	// pair is "02-03" for the steps 02 and 03, or every. (Two that are no neighbours, such as
	// "01-03", are compared in the files that the steps between don't have.)
	pair string
	// file is the file's name within the step ("main.go"), or every. For a declaration that moves
	// from one file to another it is the file of the earlier step.
	file string
	// name is the declaration: "host" for a function, constant, variable or type, "link.up" for a
	// method. For a file that has to be the same as a whole it may also be wholeFile: then the file
	// may gain and lose declarations and differ in what stands between them, like main.go.
	name string
	// reason says why the two differ. Without one the test fails.
	reason string
}

// exceptions is kept honest by the test: an entry is to be deleted when the texts are the same
// again or the name is gone. Where two entries fit, the first one counts.
var exceptions = []exception{
	{every, "main.go", "container", "the inner process: this is where a step adds its one thing"},
	{every, "main.go", "namespaces", "the clone flags grow by one namespace a step"},
	{every, "main.go", "inside", "what happens inside differs, and its comment says so"},
	{every, "demo.go", "lesson", "each step has a lesson of its own"},
	{every, "demo.go", "experiments", "each step has experiments of its own"},
	{every, every, "step", "the step's own name"},
	{every, "demo.go", "whatLeaks", "each step leaks something else"},
	{every, "main_test.go", "TestLesson", "each step has a lesson of its own"},
	{every, "main_test.go", "TestVerdicts", "each step has a lesson of its own"},
	{every, "main_test.go", "TestMain", "each step tells the harness about itself"},
	{every, "main_test.go", "TestRefused", "each step makes a system call that is new"},
	{every, "main_test.go", "TestMounts", "some steps mount more"},
	{every, "main_test.go", "TestModes", "some steps make more files"},
	{every, "main_test.go", "innerGets", "what proves the outer process differs"},
	{"01-02", "main.go", "run", "a jail has to be furnished before anything can run in it"},
	{"01-02", "demo.go", "within", "a jail has a directory"},
	{"01-02", "main.go", "host", "01 goes to jail, 02 starts over with namespaces"},
	{"03-04", "demo.go", "hold", "04 holds four kinds of object, 03 a file and a queue"},
	{"04-05", "demo.go", "within", "from 05 on the outer process is a function"},
	{"04-05", "main.go", "run", "from 05 on the outer process is a function, not a command to run"},
	{"04-05", "main.go", "host", "from 05 on it has work to do while the container waits"},
	{"05-06", "main.go", "run", "a network namespace plays an ordinary user's host"},
	{"05-06", "main.go", "host", "the container is connected before it is let go"},
	{"05-06", "main.go", "awaitHost", "the word to go is the text of a file"},
	{"05-06", "main_test.go", "TestNothingBeforeTheHost", "the word to go is another"},
	{every, "main_test.go", "init", "each step's tests run experiments of their own"},
	{"06-07", "demo.go", "within", "where no cgroup can be made, a container has no limits"},
	{"06-07", "demo.go", "undoings", "there are cgroups to be undone, too"},
	{"06-07", "main.go", "run", "there is a cgroup to be made before, and removed afterwards"},
	{"06-07", "main.go", "host", "the container is started in a cgroup"},
	{"03-04", "rootfs.go", "buildDev", "an IPC namespace has message queues to be mounted"},
	{"07-08", "main.go", "run", "there are flags, and an unpacker"},
	{"07-08", "main.go", "host", "the container is described by a spec, and waited for by more"},
	{"07-08", "main_test.go", "limits", "the limits are flags"},
	{"07-08", "main_test.go", "TestUnlimitedIsRefused", "each lesson has rows of its own"},
	{"07-08", "main_test.go", "TestSocketBuffers", "the limits are flags"},
	{"07-08", "main.go", "awaitHost", "the container waits for a spec"},
	{"07-08", "net_host.go", wholeFile, "a stand-in host passes signals on, over a line"},
	{"07-08", "net_host.go", "playHost", "a stand-in host passes signals on, over a line"},
	{"07-08", "demo.go", "undoings", "there is an unpacker to be waited for, too"},
	{"07-08", "cgroup.go", wholeFile, "the limits are flags"},
	{"07-08", "cgroup.go", "memoryLimit", "the limits are flags"},
	{"07-08", "cgroup.go", "pidsLimit", "the limits are flags"},
	{"07-08", "cgroup.go", "cpuLimit", "the limits are flags"},
	{"07-08", "cgroup.go", "cpuPeriod", "the limits are flags, and this isn't one"},
	{"07-08", "descriptors.go", wholeFile, "PID 1 stays, and keeps the line to the outer process"},
	{"07-08", "descriptors.go", "closeDescriptors", "PID 1 stays, and keeps its line"},
	{"07-08", "rootfs.go", wholeFile, "the root is built in root_paths.go, from an image perhaps"},
	{"07-08", "rootfs.go", "bindReadOnly", "file capabilities would refer to dropped ones"},
}
