"""The colours of every figure: Okabe and Ito's (2008), some of Tol's muted ones, and greys.

They are told apart under the common forms of colour blindness.
"""

BLACK, BLUE, VERMILION, GREEN = "#000000", "#0072B2", "#D55E00", "#009E73"
PURPLE, ORANGE, SKY_BLUE = "#CC79A7", "#E69F00", "#56B4E9"

WINE, OLIVE, INDIGO, TEAL, MAGENTA = "#882255", "#999933", "#332288", "#44AA99", "#AA4499"

#: For lines of one kind, in this order.
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY_BLUE)

DARK_GREY, GREY, LIGHT_GREY = "#555555", "#999999", "#DDDDDD"
