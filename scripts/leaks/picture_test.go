//go:build linux

package main

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "draw the picture again")

// TestPicture draws the table in scripts/leaktest/README.md, which has the last run with all
// systems, and compares that with the picture in the tree.
func TestPicture(t *testing.T) {
	const name = "../../.pictures/leaks.svg"
	page, err := os.ReadFile("../leaktest/README.md")
	if err != nil {
		t.Fatal(err)
	}
	list, err := exec.Command("go", "run", "../leaktest", "list").Output()
	if err != nil {
		t.Fatalf("leaktest list: %v", err)
	}
	want, err := fromMarkdown(t, string(page), list).svg()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != want {
		t.Errorf("%s isn't the table's picture (%v); this draws it again:\n"+
			"go test ./scripts/leaks -run TestPicture -update", name, err)
	}
}

// fromMarkdown reads a matrix from the table that [matrix.markdown] writes; list is what leaktest
// says of its rows.
func fromMarkdown(t *testing.T, page string, list []byte) *matrix {
	m := &matrix{}
	if err := json.Unmarshal(list, &m.Rows); err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(page) {
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		name, what, isRow := strings.Cut(strings.TrimPrefix(cells[0], "`"), "`: ")
		switch {
		case strings.HasPrefix(line, "Made as "):
			// "Made as root, Linux 6.18, …. (A remark.) (Another.)"
			made, remarks, _ := strings.Cut(strings.TrimSpace(line), ". (")
			parts := strings.Split(strings.TrimPrefix(made, "Made as "), ", ")
			m.As, m.Date = parts[0], parts[3]
			m.Kernel = strings.TrimPrefix(parts[1], "Linux ")
			m.Cgroup = strings.TrimPrefix(parts[2], "cgroup ")
			for _, part := range parts[4:] {
				name, version, _ := strings.Cut(part, " ")
				m.column(name).Version = version
			}
			for i, note := range strings.Split(strings.TrimSuffix(remarks, ".)"), ".) (") {
				m.Columns[i].Note = note
			}
		case cells[0] == "what leaks":
			for _, name := range cells[1:] {
				m.Columns = append(m.Columns,
					&column{Name: name, Step: name < "1", Cells: map[string]cell{}})
			}
		case isRow && len(cells) == len(m.Columns)+1:
			if want := m.Rows[rows]; name != want.Name || what != want.Leaks {
				t.Errorf("row %s says %q, leaktest %s: %q", name, what, want.Name, want.Leaks)
			}
			rows++
			for i, word := range cells[1:] {
				for verdict, w := range words {
					if w == strings.Trim(word, "*") {
						m.Columns[i].Cells[name] = cell{Verdict: verdict}
					}
				}
			}
		}
	}
	if rows != len(m.Rows) || len(m.Columns) != 15 {
		t.Fatalf("%d rows and %d columns, want %d and 15", rows, len(m.Columns), len(m.Rows))
	}
	return m
}
