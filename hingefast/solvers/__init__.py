"""The methods of `hingefast.minimize`, one file each.

A method is a generator: it is handed a problem and where to start, and yields an `Iterate` after each iteration, for
as long as it can improve. It knows no tolerance, clock, callback or history: `hingefast.fit` draws iterates from it,
keeps the best and stops.
"""
