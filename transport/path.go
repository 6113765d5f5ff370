package transport

// Parcel is something that a transport is about to put on the network.
type Parcel struct {
	To     int
	Class  Class
	Yields bool   // what is in it yields (Frame.Yields)
	Size   int    // bytes that it takes on the network, but for headers of IP and UDP
	Stream bool   // a part of a stream: it may be delayed, but whoever loses it breaks a promise that TCP has made
	Leave  func() // lets it leave; once, from any goroutine, or never
}

// Path is what lies between a transport and the network, for tests and emulated links: it lets parcels leave later, or never.
// Carry must not call Leave of one parcel while it holds what another Carry waits for.
type Path interface {
	Carry(p Parcel)
}

// Pathed is a transport that can be made to send over a path.
type Pathed interface {
	Transport
	// Through makes everything leave over a path. It is called before Start.
	Through(p Path)
	// Datagrams reports whether the transport uses datagrams at all, of which a path may lose some.
	Datagrams() bool
}
