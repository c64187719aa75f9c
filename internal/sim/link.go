package sim

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// ErrCut says that the link was cut when a call set out: nothing of it arrived.
var ErrCut = errors.New("sim: the link is cut")

// ErrNoAnswer says that a call set out and no answer came back: what it asked for may have happened or not.
var ErrNoAnswer = errors.New("sim: no answer came back")

// patience is how long a call waits for an answer that was lost, when its context sets no nearer end.
const patience = 30 * time.Second

// Weather is what a link does to each message on its way. The zero Weather is fair: at once, never lost.
type Weather struct {
	Delay  time.Duration // how long a message takes at least
	Jitter time.Duration // a random share of it is added; messages overtake each other only if it is not 0
	Loss   float64       // the chance of a message to vanish: 0 never, 1 always
}

// Link carries messages one way from one DC to another. It is safe for concurrent use.
type Link struct {
	reverse *Link

	mu      sync.Mutex
	dice    *rand.Rand
	weather Weather
	cut     bool
	cuts    int       // how often the link was cut: a message does not survive one on its way
	last    time.Time // when the last message without jitter arrives: the next must not overtake it
}

// Set changes the weather for the messages that are sent from now on.
func (l *Link) Set(weather Weather) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.weather = weather
}

// Cut parts this direction until Heal: messages on their way are lost, as are those sent meanwhile.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.cut {
		l.cut = true
		l.cuts++
	}
}

// Heal ends a Cut.
func (l *Link) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
}

// Send puts a message on its way and returns at once. deliver is called when it arrives, in a goroutine of its
// own, and never if the message is lost; the sender does not learn which.
func (l *Link) Send(deliver func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delay, lost := l.roll()
	if l.cut || lost {
		return
	}
	sent := l.cuts
	time.AfterFunc(delay, func() {
		if l.survived(sent) {
			deliver()
		}
	})
}

// Call asks the other DC: handle runs there after this link's delay, and Call returns what it returned after
// the delay of the link back. If the link is cut at the start the error is ErrCut, at once; if ctx has ended by
// then it is the context's cause; handle does not run in either case. If the request or the answer is lost the error is ErrNoAnswer, when ctx ends (then it is the context's
// cause too) or after 30 s, and handle may have run or may still.
func (l *Link) Call(ctx context.Context, handle func() error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if l.isCut() {
		return ErrCut
	}
	answer := make(chan error, 1)
	l.Send(func() {
		err := handle()
		l.reverse.Send(func() { answer <- err })
	})
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return errors.Join(ErrNoAnswer, context.Cause(ctx))
	case <-timer.C:
		return ErrNoAnswer
	}
}

func (l *Link) isCut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}

func (l *Link) survived(sent int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cuts == sent
}

// roll decides one message's fate. Both dice are thrown for every message, also on a link that needs neither,
// so that changing the weather of one moment leaves the fate of later messages as it was.
func (l *Link) roll() (delay time.Duration, lost bool) {
	jitter, loss := l.dice.Float64(), l.dice.Float64()
	delay = l.weather.Delay + time.Duration(jitter*float64(l.weather.Jitter))
	lost = loss < l.weather.Loss
	if l.weather.Jitter == 0 && !lost {
		delay = l.keepOrder(delay)
	}
	return delay, lost
}

// keepOrder makes messages without jitter arrive one nanosecond apart at least: timers of one instant run in
// any order.
func (l *Link) keepOrder(delay time.Duration) time.Duration {
	now := time.Now()
	arrives := now.Add(delay)
	if !arrives.After(l.last) {
		arrives = l.last.Add(1)
	}
	l.last = arrives
	return arrives.Sub(now)
}
