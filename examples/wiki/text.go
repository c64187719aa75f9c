package main

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	maxText    = 1 << 20 // bytes
	maxSummary = 255     // bytes
)

var errTextTooLarge = fmt.Errorf("the text is larger than %d bytes", maxText)

// cleanText gives text Unix line ends, and refuses what is no text.
func cleanText(text string) (string, error) {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return "", errors.New("the text is not valid UTF-8 or contains a NUL")
	}
	return strings.ReplaceAll(text, "\r\n", "\n"), nil
}

func checkText(text string) error {
	if len(text) > maxText {
		return errTextTooLarge
	}
	return nil
}

// cleanSummary makes one line of a summary.
func cleanSummary(summary string) (string, error) {
	if !utf8.ValidString(summary) {
		return "", errors.New("the summary is not valid UTF-8")
	}
	summary = strings.Join(strings.FieldsFunc(summary, func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
	if len(summary) > maxSummary {
		return "", fmt.Errorf("the summary has %d bytes, at most %d are possible", len(summary), maxSummary)
	}
	return strings.TrimSpace(summary), nil
}
