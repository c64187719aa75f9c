package main

import (
	"errors"
	"io"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// A few kilobytes of Markdown can ask for gigabytes of HTML, or hours of parsing. What follows bounds the ways that are
// known: far beyond what people write, and well below what hurts.
const (
	maxDepth     = 40      // of quotes in each other, or half as many lists; the parser looks at all of them for every line
	maxCells     = 1 << 17 // of all tables; a row is filled up to the width of its header, however short it is
	maxLinkText  = 4 << 20 // bytes of addresses and titles; a reference repeats its own wherever it is used
	maxLinkSteps = 1 << 26 // bytes looked at for the ends of links; what is not closed is searched to the end of its block
)

var errTooCostly = errors.New("the Markdown takes too much to render")

// convert is markdown.Convert, with a budget.
func convert(source string, out io.Writer) (err error) {
	defer func() {
		// The parser takes no errors from its extensions, so the end of a budget is a panic.
		if r := recover(); r == errTooCostly { //nolint:errorlint // the very value
			err = errTooCostly
		} else if r != nil {
			panic(r)
		}
	}()
	pc := parser.NewContext()
	pc.Set(budgetKey, &budget{cells: maxCells, linkText: maxLinkText, linkSteps: maxLinkSteps})
	return markdown.Convert([]byte(source), out, parser.WithContext(pc))
}

// budget is what one page has left.
type budget struct {
	cells, linkText, linkSteps int

	block ast.Node // whose size is known
	size  int
}

var budgetKey = parser.NewContextKey()

func budgetOf(pc parser.Context) *budget { return pc.Get(budgetKey).(*budget) }

func spend(left *int, n int) {
	if *left -= n; *left < 0 {
		panic(errTooCostly)
	}
}

// thrift is the extension that spends the budget. It adds nothing to a page, and sees everything before the parsers
// that do.
type thrift struct{}

func (thrift) Extend(m goldmark.Markdown) {
	const first = 1
	m.Parser().AddOptions(
		parser.WithBlockParsers(util.Prioritized(nesting{}, first)),
		parser.WithParagraphTransformers(util.Prioritized(paragraphs{}, first)),
		parser.WithInlineParsers(util.Prioritized(linkEnds{}, first)),
		parser.WithASTTransformers(util.Prioritized(links{}, first)),
	)
}

// nesting looks at what may begin a quote or a list.
type nesting struct{ parser.BlockParser }

func (nesting) Trigger() []byte { return []byte(">-+*0123456789") }

func (nesting) CanInterruptParagraph() bool { return true }

func (nesting) CanAcceptIndentedLine() bool { return true }

func (nesting) Open(parent ast.Node, _ text.Reader, _ parser.Context) (ast.Node, parser.State) { //nolint:unparam // the parser's interface
	left := maxDepth
	for n := parent; n != nil; n = n.Parent() {
		spend(&left, 1)
	}
	return nil, parser.NoChildren
}

// paragraphs looks at what may turn out to be a table, or a list of references.
type paragraphs struct{}

func (paragraphs) Transform(p *ast.Paragraph, reader text.Reader, pc parser.Context) {
	lines, left, cells := p.Lines(), budgetOf(pc), 0
	for i := range lines.Len() {
		at := lines.At(i)
		line := strings.Trim(string(at.Value(reader.Source())), " \t\r\n")
		switch {
		case i == 0 && strings.HasPrefix(line, "["): // with each reference taken off, the rest moves up
			spend(&left.linkSteps, lines.Len()*lines.Len())
		case i > 0 && strings.Trim(line, "|:- \t") == "": // maybe what is between the header and the rows
			cells = max(cells, (strings.Count(line, "|")+1)*(lines.Len()-i))
		}
	}
	spend(&left.cells, cells)
}

// linkEnds looks at what may be the end of a link's text.
type linkEnds struct{}

func (linkEnds) Trigger() []byte { return []byte{']'} }

func (linkEnds) Parse(block ast.Node, _ text.Reader, pc parser.Context) ast.Node { //nolint:unparam // likewise
	b := budgetOf(pc)
	if b.block != block {
		b.block, b.size = block, 0
		for _, line := range block.Lines().Sliced(0, block.Lines().Len()) {
			b.size += line.Len()
		}
	}
	spend(&b.linkSteps, b.size)
	return nil
}

// links looks at the finished page.
type links struct{}

func (links) Transform(page *ast.Document, _ text.Reader, pc parser.Context) {
	left := &budgetOf(pc).linkText
	_ = ast.Walk(page, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // returns what the function does
		if entering {
			spend(left, linkLen(n))
		}
		return ast.WalkContinue, nil
	})
}

func linkLen(n ast.Node) int {
	switch n := n.(type) {
	case *ast.Link:
		return len(n.Destination) + len(n.Title)
	case *ast.Image:
		return len(n.Destination) + len(n.Title)
	}
	return 0
}
