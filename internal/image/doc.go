// Package image writes down the whole memory of a protocol core, and makes a core of it again.
//
// It knows nothing of the core: it follows its type by reflection, every field of it, exported or not, and everything that they
// point to. So an image cannot forget a field that somebody adds: the field is in it, or its type is of a kind that is not
// supported, and then there is no Layout and a test says which. Supported are numbers without fractions, booleans, strings, arrays,
// slices, structs, pointers, and maps with keys of fixed size. Memory that two pointers or two slices share is shared again.
// Signed messages are leaves: they are immutable, so Take keeps them as they are, quickly, and only Append or Pieces, later and
// elsewhere, copies their bytes.
//
// An image begins with the fingerprint of the layout of the types that it was made of, and of what the program does with them. No
// other program reads it.
package image
