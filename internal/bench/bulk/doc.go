// Package bulk measures state transfer between processes that are connected as replicas are: one of n fetches a checkpoint that the
// others have on their disks, with either strategy, while f of them lie, are silent or slow. Before and after each transfer one
// process copies the same bytes to the fetching one over the same transport and class, which writes them to its disk and does nothing
// else: machines differ, the ratio of the two says what the transfer costs.
package bulk
