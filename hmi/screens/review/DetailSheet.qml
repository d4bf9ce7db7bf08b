import QtQuick
import QtQuick.Layouts
import Firstshift
import "../../kit"

// Comment, severity and cause, each by one touch; words of one's own are typed on the pad.
Sheet {
    id: sheet

    required property var view
    property string typed
    property string page: "cause"
    readonly property var said: view.details
    readonly property bool expert: said.level === 3
    readonly property bool causes: expert && page === "cause"

    title: typed === "" ? qsTr("Details") : qsTr("In your own words")
    onClosed: typed = ""

    ColumnLayout {
        width: sheet.innerWidth
        visible: sheet.typed === ""
        spacing: Theme.gap

        Tabs {
            Layout.fillWidth: true
            visible: sheet.expert
            items: [{ name: "cause", text: qsTr("Severity and cause") }, { name: "comment", text: qsTr("Comment") }]
            current: sheet.page
            onChosen: name => sheet.page = name
        }
        RowLayout {
            Layout.fillWidth: true
            visible: sheet.causes
            spacing: Theme.gap
            uniformCellSizes: true

            Repeater {
                model: sheet.view.choices.severities === undefined ? [] : sheet.view.choices.severities

                PushButton {
                    required property var modelData
                    Layout.fillWidth: true
                    text: modelData.text
                    chosen: sheet.said.severity === modelData.value
                    onActed: sheet.view.detail("severity", modelData.value)
                }
            }
        }
        Label {
            visible: sheet.causes
            text: qsTr("What made it?") + (sheet.said.cause ? "  " + sheet.said.cause : "")
            strong: true
            Layout.fillWidth: true
        }
        GridLayout {
            Layout.fillWidth: true
            visible: sheet.causes
            columns: 4
            columnSpacing: Theme.gap
            rowSpacing: Theme.gap
            uniformCellWidths: true

            Repeater {
                model: sheet.view.choices.causes === undefined ? [] : sheet.view.choices.causes

                PushButton {
                    required property var modelData
                    Layout.fillWidth: true
                    text: modelData.text
                    chosen: sheet.said.cause === modelData.text
                    onActed: sheet.view.detail("cause", modelData.value)
                }
            }
            PushButton {
                Layout.fillWidth: true
                text: qsTr("Other cause ...")
                onActed: sheet.typed = "cause"
            }
        }
        Label {
            visible: !sheet.causes
            text: qsTr("Comment") + (sheet.said.reason ? ":  " + sheet.said.reason : "")
            strong: true
            Layout.fillWidth: true
        }
        GridLayout {
            Layout.fillWidth: true
            visible: !sheet.causes
            columns: 3
            columnSpacing: Theme.gap
            rowSpacing: Theme.gap
            uniformCellWidths: true

            Repeater {
                model: sheet.view.choices.comments === undefined ? [] : sheet.view.choices.comments

                PushButton {
                    required property var modelData
                    Layout.fillWidth: true
                    text: modelData.text
                    chosen: sheet.said.reason === modelData.text
                    onActed: sheet.view.detail("reason", modelData.value)
                }
            }
            PushButton {
                Layout.fillWidth: true
                text: qsTr("Other comment ...")
                onActed: sheet.typed = "comment"
            }
        }
    }
    TextPad {
        width: sheet.innerWidth
        visible: sheet.typed !== ""
        maximum: 120
        placeholder: qsTr("In your own words")
        onAccepted: words => {
            if (sheet.typed === "cause")
                sheet.view.detail("cause", words);
            else
                sheet.view.detail("reason", words);
            text = "";
            sheet.typed = "";
        }
        onCancelled: sheet.typed = ""
    }
}
