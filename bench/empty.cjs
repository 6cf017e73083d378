// Costs what any `require` costs: the floor of the start-up times.
