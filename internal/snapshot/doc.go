// Package snapshot keeps the checkpoints of one replica: in files of one folder, or in memory.
//
// A checkpoint is written as a stream and hashed as it goes by (package blocks). It is in one file: a page that says what it is,
// the blocks, and the leaf of every block. A file that is complete has its name only once all of it is durable, so whatever has
// the name of a checkpoint was one; what a loss of power left of others is removed when the folder is opened. Files that are not
// as they were written are found by the hash tree, block by block, when a block is read for the first time in the life of the
// process, and are dropped: a damaged checkpoint is never given to anybody.
//
// A checkpoint that comes from other replicas (Incoming) is a file of its final size from the beginning, with its leaves, and a
// journal of the blocks that it has. After a crash it goes on from there; what the journal says is checked by hash. Blocks that a
// local checkpoint has, too, are copied from it.
package snapshot
