"""Problems: real data and a family of models whose number of parameters can be asked for.

`registry` names them and imports no torch; one file describes each problem.
"""
