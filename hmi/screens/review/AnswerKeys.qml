import QtQuick
import QtQuick.Layouts
import Firstshift
import "../../kit"

// What a person can say of the part. GOOD PART and DEFECT are equally large and keep their sides.
ColumnLayout {
    id: keys

    required property var view
    readonly property var said: view.answerKeys
    signal detailsWanted()
    signal classWanted()

    spacing: Theme.gap

    Rectangle {
        Layout.fillWidth: true
        Layout.preferredHeight: Math.max(12 * Theme.mm, words.height + 2 * Theme.mm)
        color: keys.said.asks ? Theme.warning : Theme.panel
        radius: Theme.radius

        Row {
            id: words
            anchors.centerIn: parent
            width: parent.width - 4 * Theme.mm
            spacing: 2 * Theme.mm

            Icon {
                id: eye
                anchors.verticalCenter: parent.verticalCenter
                name: keys.said.asks ? "question" : keys.view.part.model === undefined ? "eye" : keys.view.part.model.icon
                colour: keys.said.asks ? Theme.onWarning : Theme.text
                size: 7 * Theme.mm
            }
            Column {
                anchors.verticalCenter: parent.verticalCenter
                width: parent.width - eye.width - parent.spacing

                Label {
                    width: parent.width
                    text: keys.said.asks ? qsTr("Which defect is it?") : keys.view.part.model === undefined ? "" : keys.view.part.model.text
                    color: keys.said.asks ? Theme.onWarning : Theme.text
                    strong: true
                }
                Label {
                    width: parent.width
                    visible: text !== ""
                    text: keys.view.part.others === undefined ? "" : keys.view.part.others
                    size: Theme.small
                    color: keys.said.asks ? Theme.onWarning : Theme.text
                }
            }
        }
    }
    Item {
        id: classes

        property int page: 0
        readonly property int columns: Math.max(2, Math.floor((width + Theme.gap) / (21 * Theme.mm + Theme.gap)))
        readonly property int rows: Math.max(1, Math.floor((height + Theme.gap) / (Theme.target + Theme.gap)))
        readonly property int needed: Math.max(1, Math.ceil(Math.min(all.length, columns * rows) / columns))
        readonly property real high: Math.max(Theme.target, Math.min(Theme.primary, (height - (needed - 1) * Theme.gap) / needed))
        readonly property var all: keys.view.palette
        readonly property bool paged: all.length > columns * rows
        readonly property int each: paged ? columns * rows - 1 : columns * rows
        readonly property int pages: Math.max(1, Math.ceil(all.length / Math.max(1, each)))

        Layout.fillWidth: true
        Layout.fillHeight: true
        Layout.minimumHeight: Theme.target

        GridLayout {
            width: parent.width
            columns: classes.columns
            columnSpacing: Theme.gap
            rowSpacing: Theme.gap
            uniformCellWidths: true
            uniformCellHeights: true

            Repeater {
                model: classes.all.slice((classes.page % classes.pages) * classes.each, (classes.page % classes.pages + 1) * classes.each)

                PushButton {
                    required property var modelData
                    Layout.fillWidth: true
                    Layout.preferredHeight: classes.high
                    text: modelData.text
                    chosen: modelData.chosen
                    bound: keys.view.bound
                    guard: keys.view.guard
                    textSize: modelData.text.length > 9 ? Theme.small : Theme.body
                    onActed: bound => modelData.kind === "+" ? keys.classWanted() : keys.view.answer(bound, modelData.kind)
                }
            }
            PushButton {
                visible: classes.paged
                Layout.fillWidth: true
                Layout.preferredHeight: classes.high
                text: qsTr("More")
                icon: "arrow-right"
                upright: true
                onActed: classes.page = (classes.page + 1) % classes.pages
            }
            Item {
                visible: classes.all.length < classes.columns
                Layout.fillWidth: true
            }
        }
    }
    RowLayout {
        Layout.fillWidth: true
        visible: keys.said.deep !== true
        spacing: Theme.gap
        uniformCellSizes: true
        LayoutMirroring.enabled: false // the same side in every language: hands remember it

        PushButton {
            objectName: "defect"
            Layout.fillWidth: true
            Layout.preferredHeight: 26 * Theme.mm
            primary: true
            upright: true
            icon: "cross"
            text: qsTr("DEFECT")
            caption: keys.said.defect === undefined ? "" : keys.said.defect
            chosen: keys.said.asks === true
            bound: keys.view.bound
            guard: keys.view.guard
            onActed: bound => keys.view.answer(bound, "defect")
        }
        PushButton {
            objectName: "good"
            Layout.fillWidth: true
            Layout.preferredHeight: 26 * Theme.mm
            primary: true
            upright: true
            icon: "tick"
            text: qsTr("GOOD PART")
            bound: keys.view.bound
            guard: keys.view.guard
            onActed: bound => keys.view.answer(bound, "good")
        }
    }
    RowLayout {
        Layout.fillWidth: true
        visible: keys.said.deep === true
        spacing: Theme.gap

        PushButton {
            objectName: "details"
            Layout.preferredWidth: 23 * Theme.mm
            Layout.maximumWidth: 23 * Theme.mm
            Layout.preferredHeight: 26 * Theme.mm
            icon: "check-list"
            upright: true
            text: qsTr("Details")
            textSize: Theme.small
            onActed: keys.detailsWanted()
        }
        PushButton {
            objectName: "save"
            Layout.fillWidth: true
            Layout.preferredHeight: 26 * Theme.mm
            primary: true
            upright: true
            icon: "send"
            text: qsTr("SAVE")
            enabled: keys.said.saves === true
            reason: keys.said.lack === undefined ? "" : keys.said.lack
            bound: keys.view.bound
            guard: keys.view.guard
            onActed: bound => keys.view.save(bound)
        }
    }
    RowLayout {
        Layout.fillWidth: true
        spacing: Theme.gap
        uniformCellSizes: true

        PushButton {
            objectName: "undo"
            Layout.fillWidth: true
            icon: "undo"
            upright: true
            text: qsTr("Undo") + keys.view.undoKey.left
            name: qsTr("Undo") + " " + keys.view.undoKey.text
            enabled: keys.view.undoKey.enabled
            textSize: Theme.small
            onActed: keys.view.undo()
        }
        PushButton {
            objectName: "unsure"
            Layout.fillWidth: true
            icon: "question"
            upright: true
            text: qsTr("Unsure")
            textSize: Theme.small
            bound: keys.view.bound
            guard: keys.view.guard
            onActed: bound => keys.view.answer(bound, "unsure")
        }
        PushButton {
            objectName: "skip"
            Layout.fillWidth: true
            icon: "skip"
            upright: true
            text: qsTr("Skip")
            textSize: Theme.small
            bound: keys.view.bound
            guard: keys.view.guard
            onActed: bound => keys.view.skip(bound)
        }
    }
}
