package session

// uses is a list of sessions in the order of their last use. It is made of nothing but sessions, so that an image of the core can be
// taken (package image).
type uses struct{ first, last *session }

// PushBack adds a session that is in no list, as the last one used, and returns it.
func (u *uses) PushBack(s *session) *session {
	if s.before = u.last; s.before == nil {
		u.first = s
	} else {
		s.before.after = s
	}
	u.last = s
	return s
}

// Remove takes a session out.
func (u *uses) Remove(s *session) {
	if s.before == nil {
		u.first = s.after
	} else {
		s.before.after = s.after
	}
	if s.after == nil {
		u.last = s.before
	} else {
		s.after.before = s.before
	}
	s.before, s.after = nil, nil
}

// MoveToBack makes a session the last one used.
func (u *uses) MoveToBack(s *session) {
	u.Remove(s)
	u.PushBack(s)
}
