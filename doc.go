// Package prime orders updates of many clients into one stream, the same at every replica, although some replicas may be
// compromised. It is an implementation of the Prime protocol (Amir, Coan, Kirsch, Lane: "Prime: Byzantine Replication Under
// Attack", IEEE TDSC 2011; and its extension to crashes and recoveries, SRDS 2014) as a library that a program embeds.
//
// # What it guarantees
//
// A cluster has n = 3f + 2k + 1 replicas. As long as at most f of them are compromised, and at most k others are crashed or
// cut off at the same time:
//
//   - Agreement: the streams of correct replicas are equal, record by record; one may only be behind another.
//   - Validity: only updates of admitted clients are ordered. In a cluster of auth = "client" no replica can invent one.
//   - Exactly once: an update, named by its client and sequence number, has at most one record, however often it is sent.
//   - Progress: updates of correct replicas are ordered, with a delay that a compromised leader cannot stretch beyond a
//     constant times that of the network: a leader that is slower than a correct one could be is replaced.
//
// Every ordinal delivers at least one record (a no-op if it orders nothing), so that an application can prove to itself that
// it missed nothing; Record.Index and Total number the records of an ordinal.
//
// A replica keeps a log in its folder and continues after any end (config.StorageDurable, the default). With an application that has
// snapshots (app.Snapshotter), checkpoints shorten the log, and a start goes on from the last one. A replica that keeps none
// (config.StorageEphemeral) does not start again once it has run: it would have forgotten what it signed (see ErrFolderUsed).
//
// # A replica in a program
//
//	cfg, err := prime.LoadConfig("cluster/r1") // made by `prime init --dir cluster`
//	if err != nil {
//		log.Fatal(err)
//	}
//	counter := 0
//	r, err := prime.Open(cfg, app.Func(func(rec app.Record) []byte {
//		counter++ // runs at every replica, on the same records in the same order
//		return []byte(strconv.Itoa(counter))
//	}))
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer r.Close()
//	result, err := r.Submit(ctx, []byte("one more"))
//	fmt.Println(result.Ordinal, result.Index, string(result.Result))
//
// The program that opens a replica is trusted by it, as its application is. Clients that trust no single replica use package
// client, which accepts a result when f+1 replicas say the same.
//
// The API is version 0: it may change from one minor version to the next, and the CHANGELOG says how.
package prime
