package lab

// BoundTerms is what the bound is computed from, in milliseconds.
type BoundTerms struct {
	TimelyMS  float64 `json:"timely_ms"`  // longest one-way delay of TIMELY messages between stable replicas
	BoundedMS float64 `json:"bounded_ms"` // of BOUNDED ones
	DeltaMS   float64 `json:"delta_ms"`   // longest time for which messages are gathered
	KLat      float64 `json:"k_lat"`
}
