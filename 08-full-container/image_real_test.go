//go:build linux

// Images made by other tools: a busybox and a Debian, saved by a Docker engine, and packed by umoci
// and skopeo.

package main

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// dockerfile adds layers, some of them empty, and a config.
const dockerfile = `FROM base
COPY script /script
ENV WORD="a b"
WORKDIR /srv
USER 1000:100
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["echo $WORD"]
`

// script is what it copies.
const script = "#!/bin/sh\necho script says $WORD\n"

// makeArchives makes the archives of base.tar, in a directory that has that and the Dockerfile's
// context: those in its argument.
const makeArchives = `set -e
	docker import base.tar base
	DOCKER_BUILDKIT=0 docker build -t built context
	docker save -o docker.tar built
	skopeo copy --insecure-policy docker-archive:docker.tar oci:layout:skopeo
	case $1 in *skopeo.tar*) tar -cC layout -f skopeo.tar . ;; esac
	case $1 in
		*again*) skopeo copy --insecure-policy oci:layout:skopeo docker-archive:again.tar:b:1 ;;
	esac
	umoci insert --image layout:skopeo --tag umoci --whiteout /etc/gone
	umoci insert --image layout:umoci --opaque context /opt
	umoci rm --image layout:skopeo
	tar -cC layout -f - . | gzip -1 >umoci.tar.gz
	rm -r context layout`

// TestRealImages runs programs of each image, as root and as an ordinary user: in a container, and
// in a chroot below the overlay, for what a container has no means to see. The images take minutes
// to make, so they are kept (see keepFiles).
func TestRealImages(t *testing.T) {
	if os.Getuid() != 0 {
		steptest.Skip(t, "only root can start a Docker engine; run it as root")
	}
	for _, tool := range []string{"dockerd", "docker", "umoci", "skopeo", "mmdebstrap", "busybox"} {
		steptest.Need(t, tool, "docker.io umoci skopeo mmdebstrap busybox-static")
	}
	busybox, err := os.ReadFile(steptest.Need(t, "busybox", "busybox-static"))
	if err != nil {
		t.Fatal(err)
	}
	applets := []item{
		dir("bin"), file("bin/busybox", string(busybox)).owned(0, 0, 0o4755),
		file("etc/os-release", "ID=busybox\n"), file("etc/gone", ""),
		dir("tmp").owned(0, 0, 0o1777),
		file("opt/old", ""), dir("home/one").owned(1000, 100, 0o2750),
	}
	for _, name := range []string{"sh", "ls", "cat"} {
		applets = append(applets, symlink("bin/"+name, "/bin/busybox"))
	}
	t.Run("busybox", func(t *testing.T) {
		root := pack(applets...)
		realImage(t, "busybox", string(root), func(base string) {
			if err := os.WriteFile(base, root, 0o644); err != nil {
				t.Fatal(err)
			}
		}, map[string]string{
			"cat /etc/os-release": "ID=busybox", "ls -la /": " bin\n", "/script": "script says a b",
		}, "docker.tar", "skopeo.tar", "again.tar", "umoci.tar.gz")
	})
	t.Run("debian", func(t *testing.T) {
		args := []string{"--quiet", "--variant=essential", "", "base.tar"}
		var sources strings.Builder
		for _, name := range []string{"sources.list", "sources.list.d/*.sources"} {
			found, err := filepath.Glob("/etc/apt/" + name)
			if err != nil {
				t.Fatal(err)
			}
			args = append(args, found...)
			for _, path := range found {
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				sources.Write(text)
			}
		}
		realImage(t, "debian", fmt.Sprint(args, &sources), func(base string) {
			cmd := exec.Command("mmdebstrap", args...)
			cmd.Dir = filepath.Dir(base)
			// What it mounts is no part of the host, where another test looks for what is new.
			cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
			if out, err := cmd.CombinedOutput(); err != nil {
				steptest.Skip(t, "mmdebstrap makes no Debian of this system's sources (%v): run "+
					"it on Debian: %s", err, out)
			}
		}, map[string]string{
			"cat /etc/os-release": "\nID=", "ls -la /": " usr\n", "/script": "script says a b",
			"dpkg -l": "ii  libc6:",
		}, "docker.tar", "umoci.tar.gz") // which takes long enough
	})
}

// keepFiles returns a directory with these files, which make makes in an empty one. It lies in the
// user's cache directory, for later runs. The recipe says all that the files depend on: when that
// changes, or a file does, they are made again. A run that is killed leaves nothing that looks
// whole, and another run waits until this test ends.
func keepFiles(t *testing.T, name, recipe string, files []string, make func(dir string)) string {
	t.Helper()
	top, err := os.UserCacheDir()
	if err != nil {
		top = t.TempDir() // so they are made each time
	}
	top = filepath.Join(top, "jail-to-container", "test-images")
	whole, partial := filepath.Join(top, name), filepath.Join(top, name+".partial")
	if err := os.MkdirAll(top, 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := os.OpenFile(whole+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	said, err := os.ReadFile(filepath.Join(whole, "sums"))
	if err == nil && string(said) == sums(whole, recipe, files) {
		return whole
	}
	if err := errors.Join(os.RemoveAll(whole), os.RemoveAll(partial),
		os.Mkdir(partial, 0o700)); err != nil {
		t.Fatal(err)
	}
	make(partial)
	text := []byte(sums(partial, recipe, files))
	if err := errors.Join(os.WriteFile(filepath.Join(partial, "sums"), text, 0o600),
		os.Rename(partial, whole)); err != nil {
		t.Fatal(err)
	}
	return whole
}

// TestKeepFiles counts how often files are made: once, and again when one is damaged, when the
// recipe changes, and after a run that was killed.
func TestKeepFiles(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	made := 0
	expect := func(want int, recipe, what string) (dir string) {
		t.Run(what, func(t *testing.T) { // at its end the lock goes
			dir = keepFiles(t, "name", recipe, []string{"one", "two"}, func(dir string) {
				made++
				for _, name := range []string{"one", "two"} {
					if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
						t.Fatal(err)
					}
				}
			})
		})
		if made != want {
			t.Errorf("%s: made %d times, want %d", what, made, want)
		}
		return dir
	}
	expect(1, "a", "at first")
	dir := expect(1, "a", "the same")
	if err := os.WriteFile(filepath.Join(dir, "two"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(2, "a", "damaged")
	expect(3, "b", "another recipe")
	if err := errors.Join(os.Rename(dir, dir+".partial"),
		os.WriteFile(dir+".partial/three", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	expect(4, "b", "killed")
	if _, err := os.Stat(dir + "/three"); err == nil {
		t.Error("what the killed run had made is there")
	}
}

// sums is what sha256sum(1) says of a recipe and of files.
func sums(dir, recipe string, files []string) string {
	text := fmt.Sprintf("%x  the recipe\n", sha256.Sum256([]byte(recipe)))
	for _, name := range files {
		hash := sha256.New()
		file, err := os.Open(filepath.Join(dir, name))
		if err == nil {
			_, err = io.Copy(hash, file)
			file.Close()
		}
		if err != nil {
			return err.Error()
		}
		text += fmt.Sprintf("%x  %s\n", hash.Sum(nil), name)
	}
	return text
}

// TestCrane has an image in a registry for two architectures. It types the line that the step says
// where there is no such file, and runs what that pulls, as each user. What is pulled for the other
// architecture is refused.
func TestCrane(t *testing.T) {
	busybox, err := os.ReadFile(steptest.Need(t, "busybox", "busybox-static"))
	if err != nil {
		t.Fatal(err)
	}
	top, module := t.TempDir(), crane
	install := exec.Command("go", "install", module)
	install.Env = append(os.Environ(), "GOBIN="+top, "GOFLAGS=")
	if out, err := install.CombinedOutput(); err != nil {
		steptest.Skip(t, "go gets no crane (%v): run it where there is a Go proxy: %s", err, out)
	}
	cmd := func(args ...string) *exec.Cmd {
		c := exec.Command(filepath.Join(top, "crane"), args...)
		c.Dir, c.SysProcAttr = top, &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
		return c
	}
	runCrane := func(t *testing.T, args ...string) {
		t.Helper()
		if out, err := cmd(args...).CombinedOutput(); err != nil {
			t.Fatalf("crane %q: %v: %s", args, err, out)
		}
	}
	runtime.LockOSThread() // for Pdeathsig
	defer runtime.UnlockOSThread()
	port := strconv.Itoa(freePort(t))
	serve := cmd("registry", "serve", "--address", "127.0.0.1:"+port)
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	defer serve.Wait()
	defer serve.Process.Kill()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp4", "127.0.0.1:"+port); err == nil {
			c.Close()
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("crane's registry: %v", err)
		}
	}
	name, other := "127.0.0.1:"+port+"/test/busybox:1", "s390x"
	for _, architecture := range []string{runtime.GOARCH, other} {
		m := made{layers: [][]byte{pack(dir("bin"),
			file("bin/sh", string(busybox)).owned(0, 0, 0o755), file("for", architecture))},
			architecture: architecture, change: func(o object) {
				o["config"] = imageConfig{Entrypoint: []string{"/bin/sh", "-c"}}
			}}
		archive := filepath.Join(top, "made.tar")
		if err := os.WriteFile(archive, m.docker().pack(), 0o644); err != nil {
			t.Fatal(err)
		}
		runCrane(t, "push", archive, name+architecture)
	}
	runCrane(t, "index", "append", "-m", name+runtime.GOARCH, "-m", name+other, "-t", name)
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		run := func(image string) steptest.Result {
			c := u.Program("-net=false", "-image", image, "busybox cat /for; echo; echo $0")
			c.Env = append(os.Environ(), "XDG_CACHE_HOME="+b.dir)
			return steptest.Run(t, c)
		}
		said := run(name).Stderr
		words := strings.Fields(strings.TrimSuffix(said[strings.Index(said, "go run "):], ")\n"))
		want := []string{"go", "run", module, "pull", "--platform", "linux/" + runtime.GOARCH, name,
			"busybox.tar"}
		if !slices.Equal(words, want) || !strings.Contains(said, "no such file or directory") {
			t.Fatalf("without a file it says %q, want %q", said, want)
		}
		words[len(words)-1] = filepath.Join(b.dir, "busybox.tar")
		runCrane(t, words[3:]...)
		r := run(words[len(words)-1])
		if r.Status != 0 || r.Stdout != runtime.GOARCH+"\n/bin/sh\n" {
			t.Errorf("what crane has pulled: %+v", r)
		}
		words[5] = "linux/" + other
		runCrane(t, words[3:]...)
		r = run(words[len(words)-1])
		if r.Status != 125 || r.Stdout != "" {
			t.Errorf("the one for another architecture: %+v", r)
		}
		steptest.Contains(t, r.Stderr, `it is for "linux/s390x", and this machine is linux/`+
			runtime.GOARCH+" (pull it with --platform linux/"+runtime.GOARCH+")\n")
	})
}

// TestPullLine gives names of images, and of files.
func TestPullLine(t *testing.T) {
	for given, want := range map[string]string{
		"alpine": "alpine alpine.tar", "alpine.tar": "alpine alpine.tar",
		"nginx:1.27": "nginx:1.27 nginx.tar", "./d/alpine.tar": "alpine alpine.tar",
		"/tmp/alpine": "alpine alpine.tar", "r.example/a/b:1": "r.example/a/b:1 b.tar",
	} {
		want = "go run github.com/google/go-containerregistry/cmd/crane@v0.21.9 pull " +
			"--platform linux/" + runtime.GOARCH + " " + want
		if got := pullLine(given); got != want {
			t.Errorf("of %s: %q, want %q", given, got, want)
		}
	}
}

// realImage has archives of an image with this root made, and runs commands in each of them. root
// says all that the root depends on, and write writes its tar.
func realImage(t *testing.T, image, root string, write func(tar string),
	commands map[string]string, archives ...string,
) {
	recipe := []any{root, dockerfile, makeArchives, archives}
	for _, tool := range []string{"dockerd", "docker", "umoci", "skopeo", "mmdebstrap"} {
		version, err := exec.Command(tool, "--version").Output()
		if err != nil {
			t.Fatal(err)
		}
		recipe = append(recipe, version)
	}
	kept := keepFiles(t, image, fmt.Sprintf("%q", recipe), append(archives, "base.tar"),
		func(dir string) {
			write(filepath.Join(dir, "base.tar"))
			if err := errors.Join(os.Mkdir(dir+"/context", 0o755),
				os.WriteFile(dir+"/context/script", []byte(script), 0o755),
				os.WriteFile(dir+"/context/Dockerfile", []byte(dockerfile), 0o644)); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("sh", "-c", makeArchives, "sh", strings.Join(archives, " "))
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), startDocker(t, newBench(t, steptest.Root).dir))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		})
	base := filepath.Join(kept, "base.tar")
	for _, name := range archives {
		archive, err := os.ReadFile(filepath.Join(kept, name))
		if err != nil {
			t.Fatal(err)
		}
		steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
			b := newBench(t, u)
			b.cache = filepath.Join(b.dir, "jail-to-container") // for the program, too
			i := b.image(t, archive)
			if c := i.Config; !slices.Contains(c.Env, "WORD=a b") || c.WorkingDir != "/srv" ||
				c.User != "1000:100" || !slices.Equal(c.Entrypoint, []string{"/bin/sh", "-c"}) ||
				!slices.Equal(c.Cmd, []string{"echo $WORD"}) {
				t.Errorf("%s: config %+v", name, c)
			}
			runReal(t, b, commands)
			for command, want := range commands {
				out := b.look(t, i.Layers, "overlay", "test:chroot", "/bin/sh", "-c", command)
				steptest.Contains(t, strings.Join(out, "\n")+"\n", want)
			}
			out := b.look(t, i.Layers, "overlay", "test:chroot", "/bin/sh", "-c",
				"set -- /etc/gone /opt/*; ls -d /etc/gone 2>&1 || :; ls /opt")
			marked := !strings.Contains(strings.Join(out, " "), "old") && len(out) == 3
			if image == "busybox" && marked != (name == "umoci.tar.gz") {
				t.Errorf("%s: what a whiteout and an opaque directory leave: %q", name, out)
			}
			if u.UID == 0 {
				sameTree(t, base, i.Layers[0])
			}
		})
	}
}

// runReal runs the bench's archive, which is in its cache, in whole containers: as it wants to be
// run itself, and with commands. An ordinary user has but one id to give, root's.
func runReal(t *testing.T, b *bench, commands map[string]string) {
	t.Helper()
	run := func(args ...string) string {
		t.Helper()
		cmd := b.Program(append([]string{"-image", filepath.Join(b.dir, "archive")}, args...)...)
		cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+b.dir)
		return steptest.Output(t, cmd)
	}
	who := []string{"-user", "0"}
	if b.UID == 0 {
		who = nil
		out := run("--", "grep -E '^[UG]id' /proc/self/status | cut -f2; pwd")
		if out != "1000\n100\n/srv\n" {
			t.Errorf("user, group and directory: %q", out)
		}
	}
	if out := run(who...); out != "a b\n" {
		t.Errorf("what the image runs by itself prints %q", out)
	}
	for command, want := range commands {
		steptest.Contains(t, run(append(slices.Clone(who), "--", command)...), want)
	}
}

// sameTree compares a tar with the layer that came of it: all owners, modes, sizes and times.
func sameTree(t *testing.T, archive, layer string) {
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	first, _ := strconv.Atoi(filepath.Base(filepath.Dir(layer)))
	compared := 0
	for reader := tar.NewReader(file); ; compared++ {
		header, err := reader.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag == tar.TypeChar || header.Typeflag == tar.TypeLink {
			continue
		}
		info, err := os.Lstat(filepath.Join(layer, header.Name))
		if err != nil {
			t.Error(err)
			continue
		}
		stat, mode := info.Sys().(*syscall.Stat_t), header.FileInfo().Mode()
		if int(stat.Uid) != first+header.Uid || int(stat.Gid) != first+header.Gid ||
			info.Mode() != mode || info.Mode().IsRegular() && info.Size() != header.Size ||
			info.ModTime().Unix() != header.ModTime.Unix() {
			t.Errorf("%s: %d:%d %v %d %v, want %d:%d %v %d %v", header.Name, int(stat.Uid)-first,
				int(stat.Gid)-first, info.Mode(), info.Size(), info.ModTime(),
				header.Uid, header.Gid, mode, header.Size, header.ModTime)
		}
	}
	if compared < 10 {
		t.Errorf("%d files compared", compared)
	}
}

// startDocker starts an engine that lives in dir, and returns the environment that leads clients to
// it. It is PID 1 of a namespace, so that nothing of it outlives it, and its mounts are its own.
func startDocker(t *testing.T, dir string) string {
	runtime.LockOSThread() // for Pdeathsig; the thread goes with this test
	socket := "unix://" + dir + "/docker.sock"
	engine := exec.Command("sh", "-c", `mount -t proc proc /proc && exec dockerd "$@"`, "sh",
		"--data-root", dir+"/engine/data", "--exec-root", dir+"/engine/exec", "-H", socket,
		"--pidfile", dir+"/engine.pid", "--bridge=none", "--iptables=false", "--ip6tables=false",
		"--ip-forward=false", "--storage-driver", "vfs")
	var log strings.Builder
	engine.Stdout, engine.Stderr = &log, &log
	engine.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID, Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL,
	}
	if err := engine.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := engine.Process.Signal(unix.SIGTERM)
		if waited := engine.Wait(); err != nil || waited != nil {
			t.Errorf("the engine's end: %v, %v", err, waited)
		}
	})
	environment := "DOCKER_HOST=" + socket
	for range 300 {
		cmd := exec.Command("docker", "version")
		cmd.Env = append(os.Environ(), environment)
		if cmd.Run() == nil {
			return environment
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("the engine doesn't answer: %s", &log)
	return ""
}

// init adds what these tests run in the program's place.
func init() {
	// test:chroot COMMAND... runs a command in the root that lies on /tmp.
	experiments["test:chroot"] = func(command []string) error {
		os.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
		os.Setenv("WORD", "a b")
		if err := errors.Join(unix.Chroot("/tmp"), os.Chdir("/")); err != nil {
			return fmt.Errorf("chroot: %w", err)
		}
		return execCommand(command)
	}
}
