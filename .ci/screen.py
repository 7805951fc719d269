"""What a terminal shows after a program wrote to it: as much of one as a live view needs."""

import re
import unicodedata


def wide(c):
    return 2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) or c in "\u200c\u200d" else 1


def screen(written, columns):
    """The lines on it, without limit to their number. A full line is left with the character that follows."""
    lines, row, column = [{}], 0, 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|.", written, re.DOTALL):
        if part[0] == "\x1b":
            count, what = int(re.sub(r"[^0-9].*", "", part[2:]) or 1), part[-1]
            if what == "A":
                row = max(row - count, 0)
            elif what == "B":
                row += count
                lines += [{}] * (row + 1 - len(lines))
            elif what == "K":
                lines[row] = {} if part[2:-1] == "2" else {at: c for at, c in lines[row].items() if at < column}
            elif what == "J":
                lines[row:] = [{at: c for at, c in lines[row].items() if at < column}]
        elif part == "\r":
            column = 0
        else:
            if part == "\n" or column + wide(part) > columns:
                row, column = row + 1, 0 if part != "\n" else column
                lines += [{}] * (row + 1 - len(lines))
                lines[row] = dict(lines[row])
            if part != "\n" and wide(part):
                lines[row] = {**lines[row], column: part}
                column += wide(part)
    return ["".join(line.get(at, "" if wide(line.get(at - 1, " ")) == 2 else " ") for at in range(columns)).rstrip() for line in lines]
