// Package catchup is how a replica that is far behind gets what the others executed, whatever f of them say, without checking a
// signature of it (docs/adr/0015-catch-up-by-links.md).
//
// In: STATUS; OUTLINE-ASK, OUTLINE, SEGMENT-ASK, SEGMENT. Out: the last four. Asks are BOUNDED, answers RECON.
//
// Every execution of an ordinal leaves a link, which depends on all that was executed up to it (effect.Link). A round goes like
// this:
//   - Target: the (f+1)-th highest ordinal that others say they executed; a correct replica has executed that.
//   - Outline: all others are asked for the links on the way there. f+1 equal answers hold one of a correct replica.
//   - Segments: what lies between two links is asked of those who gave that outline, several at once and each of one of them. Whoever
//     knows the link at the end of a segment can check all of it, and the core executes it as if it had been ordered here.
//
// State: what each peer advertised; the round; the segments that are being got, a few, from the first that is not executed on, each
// with what is there of it and who was asked; and for each peer its questions that are not answered yet.
//
// Who lies, in a round: a wrong segment is found out at once; its sender is asked nothing more in that round, and the segment is asked
// of another. Who is silent, or slow, is found out by the time that it takes, and from then on asked only if nobody else is there; the
// segment that execution waits for is asked of a second one early. So each of f liars costs at most one wrong segment and the wait for
// Outstanding ones, beside each other. An outline never rests on fewer than f+1.
//
// Limits: Active segments are got at once, and no new one while MaxBuffered bytes of them wait, but the first; Outstanding questions to
// a peer; of each peer MaxAsks questions wait, and it is answered ServeBytes in a Fetch interval and one message more.
//
// What was got in this way is known to be right, but not proven to others: no request of it has its origin's signature and no ordinal a
// certificate. It can be told to others as segments, of which f+1 again vouch.
//
// Scripts: ../testdata/catchup*.txt.
package catchup
