import QtQuick
import QtQuick.Layouts
import Firstshift
import "../../kit"

// Parallel mode: the person decides; what the model says of a part is shown when its decision was taken.
Item {
    id: panel

    required property var view
    readonly property bool choosing: view.manual.palette !== ""

    StateMark {
        id: plate
        anchors { left: parent.left; right: parent.right; top: parent.top }
        height: Math.max(22 * Theme.mm, implicitHeight)
        disposition: panel.view.verdict.state
        detail: panel.view.verdict.detail + (panel.view.manual.left === "" ? "" : " \u00b7 " + panel.view.manual.left)
    }
    Label {
        id: why
        anchors { left: parent.left; right: parent.right; top: plate.bottom; topMargin: 1 * Theme.mm }
        text: panel.view.manual.reason === "" ? panel.view.manual.waiting : panel.view.manual.reason
        height: Math.max(implicitHeight, 5 * Theme.mm)
    }
    Item {
        id: answers
        readonly property real each: Math.floor((width - Theme.gap) / 2)
        visible: !panel.choosing
        anchors { left: parent.left; right: parent.right; top: why.bottom; topMargin: 2 * Theme.mm }
        height: 28 * Theme.mm

        PushButton {
            objectName: "defect"
            x: 0
            width: answers.each
            height: answers.height
            primary: true
            upright: true
            inset: 1 * Theme.mm
            text: qsTr("DEFECT")
            icon: "cross"
            enabled: panel.view.manual.ready
            bound: panel.view.manual.bound
            guard: panel.view.manual.guard
            onActed: bound => panel.view.openPalette(bound)
        }
        PushButton {
            objectName: "good"
            x: answers.width - width
            width: answers.each
            height: answers.height
            primary: true
            upright: true
            inset: 1 * Theme.mm
            text: qsTr("GOOD PART")
            icon: "tick"
            enabled: panel.view.manual.ready
            bound: panel.view.manual.bound
            guard: panel.view.manual.guard
            onActed: bound => panel.view.answer(bound, "good")
        }
    }
    Classes {
        visible: panel.choosing
        anchors { left: parent.left; right: parent.right; top: why.bottom; topMargin: 2 * Theme.mm }
        classes: panel.view.manual.classes
        bound: panel.view.manual.palette
        onTaken: (bound, kind) => panel.view.answer(bound, kind)
        onBack: panel.view.closePalette()
    }
    Card {
        id: last
        visible: !panel.choosing && panel.view.manual.last.shown
        anchors { left: parent.left; right: parent.right; top: answers.bottom; topMargin: Theme.gap }
        pad: 2 * Theme.mm

        Column {
            width: parent.width
            spacing: 0.6 * Theme.mm

            Label {
                width: parent.width
                text: panel.view.manual.last.part + ": " + panel.view.manual.last.said
                strong: true
            }
            Label {
                width: parent.width
                text: panel.view.manual.last.fate + (panel.view.manual.last.why === "" ? "" : ": " + panel.view.manual.last.why)
                strong: panel.view.manual.last.bad
            }
            RowLayout {
                width: parent.width
                visible: panel.view.manual.last.model !== ""
                spacing: 2 * Theme.mm

                Label {
                    text: qsTr("Model")
                    muted: true
                }
                StateMark {
                    Layout.fillWidth: true
                    compact: true
                    disposition: panel.view.manual.last.model
                }
            }
        }
    }
    Column {
        id: facts
        readonly property real above: last.visible ? last.y + last.height : answers.y + answers.height
        opacity: !panel.choosing && y >= above + 2 * Theme.mm ? 1 : 0
        anchors { left: parent.left; right: parent.right; bottom: parent.bottom }
        spacing: 1 * Theme.mm

        Label {
            visible: panel.view.manual.progress.shown
            width: parent.width
            text: panel.view.manual.progress.text
            size: Theme.small
        }
        Label {
            width: parent.width
            text: qsTr("Yield") + " " + panel.view.figures.share + " (" + panel.view.figures.interval + ")"
            size: Theme.small
        }
    }
}
