pragma Singleton
import QtQuick

// The shapes of a control chart's marks, the same on the chart and in its legend.
QtObject {
    function draw(pen, shape, x, y, size, fill, edge) {
        pen.setLineDash([]);
        pen.lineWidth = 1.5;
        pen.fillStyle = fill;
        pen.strokeStyle = edge;
        pen.beginPath();
        const corners = {
            "beyond": [[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]],
            "side": [[-1, -1], [1, -1], [1, 1], [-1, 1]],
            "trend": [[0, -1.2], [1.2, 1], [-1.2, 1]],
            "two_of_three": [[-1.2, -1], [1.2, -1], [0, 1.2]],
            "astray": [[-0.4, -1.2], [0.4, -1.2], [0.4, -0.4], [1.2, -0.4], [1.2, 0.4], [0.4, 0.4], [0.4, 1.2], [-0.4, 1.2], [-0.4, 0.4], [-1.2, 0.4], [-1.2, -0.4], [-0.4, -0.4]],
            "four_of_five": [[-1, -0.5], [0, -1.2], [1, -0.5], [1, 1], [-1, 1]]
        }[shape];
        if (corners === undefined) {
            pen.arc(x, y, size, 0, 2 * Math.PI);
            pen.fill();
            return;
        }
        corners.forEach((corner, place) => {
            const at = [x + corner[0] * size, y + corner[1] * size];
            place === 0 ? pen.moveTo(at[0], at[1]) : pen.lineTo(at[0], at[1]);
        });
        pen.closePath();
        pen.fill();
        pen.stroke();
    }
}
