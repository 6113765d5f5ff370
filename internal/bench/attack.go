package bench

import "slices"

// AttackReport compares clusters without an attack and under it, measured in alternation. Clients at compromised replicas count like
// all others, as in the simulator's experiment: these replicas order what they are given, and only speak otherwise than they should.
type AttackReport struct {
	Attack      []string  `json:"attack"`
	Attacked    []int     `json:"attacked"`
	WithoutPerS float64   `json:"throughput_per_s_unstalled"`          // median of the legs without
	WithPerS    float64   `json:"attacked_throughput_per_s_unstalled"` // median of the legs with
	Ratio       float64   `json:"attack_ratio"`                        // median over the rounds of one to the other
	RepairMean  float64   `json:"repair_mean_bytes"`                   // bytes of class RECON for each update and replica; median of the legs with
	RepairMost  float64   `json:"repair_busiest_bytes"`                // the same of the busiest replica
	Without     []*Report `json:"without"`
	With        []*Report `json:"with"`
}

// Compare fills in what follows from the legs.
func (r *AttackReport) Compare() {
	var without, with, ratios, means, most []float64
	for i := range r.With {
		a, b := r.Without[i].ThroughputPerSUnstalled, r.With[i].ThroughputPerSUnstalled
		without, with, ratios = append(without, a), append(with, b), append(ratios, Ratio(b, a))
		mean, busiest := r.With[i].Repair()
		means, most = append(means, mean), append(most, busiest)
	}
	r.WithoutPerS, r.WithPerS, r.Ratio = Round(Median(without), 1), Round(Median(with), 1), Round(Median(ratios), 4)
	r.RepairMean, r.RepairMost = Round(Median(means), 1), Round(Median(most), 1)
}

// Repair is how many bytes of class RECON the replicas sent for each update: the mean of all, and the busiest.
func (r *Report) Repair() (mean, most float64) {
	for _, bytes := range r.RepairBytes {
		mean += bytes
		most = max(most, bytes)
	}
	return Ratio(mean, float64(len(r.RepairBytes))), most
}

// Median is the middle of a list, the mean of the middle two if there are two; 0 of none.
func Median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
