package main

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each of these asked for gigabytes, or for minutes, before there was a budget.
func TestCostlyMarkdownIsShownAsItIs(t *testing.T) {
	for name, text := range map[string]string{
		"wide table":          strings.Repeat("|a", 8<<10) + "|\n" + strings.Repeat("|-", 8<<10) + "|\n" + strings.Repeat("|\n", 16<<10),
		"many wide tables":    strings.Repeat("\n"+strings.Repeat("|a", 500)+"\n"+strings.Repeat("|-", 500)+strings.Repeat("\n|", 50)+"\n", 10),
		"table in a quote":    "> " + strings.Repeat("|a", 4<<10) + "\n> " + strings.Repeat("|-", 4<<10) + strings.Repeat("\n> |", 1<<10),
		"table further down":  ":-\n" + strings.Repeat("|a", 4<<10) + "\n" + strings.Repeat("|-", 4<<10) + strings.Repeat("\n|", 1<<10),
		"quotes":              strings.Repeat(">", maxText),
		"quotes with blanks":  strings.Repeat("> ", maxText/2),
		"lists":               strings.Repeat("- ", maxText/2) + "a",
		"numbered lists":      strings.Repeat("1. ", maxText/3),
		"links not closed":    strings.Repeat("[a](", maxText/4),
		"a reference reused":  "[a]: /" + strings.Repeat("x", maxText/2) + "\n\n" + strings.Repeat("[a] ", maxText/8),
		"only references":     strings.Repeat("[a]: /x\n", maxText/8),
		"links in a heading":  "# " + strings.Repeat("[a](", maxText/5),
		"lists in each other": strings.Repeat("- ", maxDepth) + "a" + strings.Repeat("\n", 10),
	} {
		html, err := render("x", text)
		require.NoError(t, err, name)
		require.Contains(t, html, "too intricate", name)
	}
	html, err := render("x", strings.Repeat(">", 2*maxDepth)+"<script>")
	require.NoError(t, err)
	require.NotContains(t, html, "<script>")
}

func TestLargeMarkdownIsRendered(t *testing.T) {
	for name, text := range map[string]string{
		"prose":      strings.Repeat("Words *and* `code`, [a link](https://example.org/) and more words.\n\n", maxText/700),
		"list":       strings.Repeat("- [a link](https://example.org/some/where), and *words*\n", maxText/560),
		"table":      "|a|b|c|\n|-|-|-|\n" + strings.Repeat("|one|-|three|\n|-|-|-|\n", 3_000),
		"headings":   strings.Repeat("# a\n", 5_000),
		"references": strings.Repeat("[a]: https://example.org/\n", 2_000) + "\n" + strings.Repeat("[a], ", 2_000),
		"code":       "```\n" + strings.Repeat("[](|>>>>\n", 20_000),
		"nested":     strings.Repeat("> - ", 10) + "deep enough",
	} {
		require.NoError(t, convert(text, io.Discard), name)
	}
}
