"""Work that is never lost: jobs, their claims and leases, limits, schedules, effects."""
