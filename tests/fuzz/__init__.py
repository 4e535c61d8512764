"""Whatever comes from outside gives an answer or an error of ours, and is read up to a bound.

make test                        a few hundred inputs for each reader, the same each time
make fuzz EXAMPLES=5000         many more, other ones each time
"""
