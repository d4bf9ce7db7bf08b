import QtQuick
import QtQuick.Layouts
import Firstshift
import "../../kit"
import "../../kit/charts"

Item {
    id: screen

    required property var view
    readonly property var shown: view.shown
    readonly property var pages: [
        { name: "shift", text: qsTr("Shift") },
        { name: "causes", text: qsTr("Why rejected") },
        { name: "classes", text: qsTr("Defects") },
        { name: "people", text: qsTr("People") },
        { name: "escapes", text: qsTr("Escapes"), enabled: shown.others }
    ]

    ColumnLayout {
        anchors { fill: parent; margins: Theme.gap }
        spacing: Theme.gap

        RowLayout {
            Layout.fillWidth: true
            spacing: Theme.gap

            PushButton {
                icon: Words.rtl ? "arrow-right" : "arrow-left"
                name: qsTr("Shift before")
                onActed: screen.view.earlier()
            }
            Label {
                Layout.fillWidth: true
                horizontalAlignment: Text.AlignHCenter
                text: screen.shown.title
                size: Theme.strong
                strong: true
            }
            PushButton {
                icon: Words.rtl ? "arrow-left" : "arrow-right"
                name: qsTr("Shift after")
                enabled: !screen.shown.runs
                onActed: screen.view.later()
            }
        }
        Tabs {
            Layout.fillWidth: true
            current: screen.shown.tab
            items: screen.shown.is_parallel ? [...screen.pages, { name: "parallel", text: qsTr("Parallel mode"), enabled: screen.shown.others }] : screen.pages
            onChosen: name => screen.view.open_tab(name)
        }
        Item {
            Layout.fillWidth: true
            Layout.fillHeight: true

            Label {
                anchors.centerIn: parent
                width: parent.width
                horizontalAlignment: Text.AlignHCenter
                visible: !screen.shown.ready
                text: screen.shown.fault !== "" ? screen.shown.fault : qsTr("Counting ...")
            }
            Loader {
                anchors.fill: parent
                active: screen.shown.ready
                sourceComponent: ({ "shift": figures, "causes": causes, "classes": classes, "people": people, "escapes": escapes, "parallel": parallel })[screen.shown.tab]
            }
        }
    }
    Component {
        id: figures

        GridLayout {
            columns: 4
            rowSpacing: Theme.gap
            columnSpacing: Theme.gap
            uniformCellWidths: true
            uniformCellHeights: true

            Repeater {
                model: screen.shown.cards

                FigureCard {
                    Layout.fillWidth: true
                    Layout.fillHeight: true
                }
            }
        }
    }
    Component {
        id: causes
        CausePage {
            slices: screen.shown.causes
            empty: qsTr("No part was rejected")
            note: qsTr("Why the gate rejected parts, the most frequent cause first")
        }
    }
    Component {
        id: classes
        CausePage {
            slices: screen.shown.classes
            empty: screen.shown.is_parallel ? qsTr("What the model finds stays sealed in parallel mode") : qsTr("No part was held back")
            note: screen.shown.looked
        }
    }
    Component {
        id: people
        FigureTable {
            table: screen.shown.people
            empty: qsTr("Nobody has decided or labelled a part in this shift")
        }
    }
    Component {
        id: escapes
        FigureTable {
            table: screen.shown.escapes
            empty: qsTr("No known defect was put on the line")
        }
    }
    Component {
        id: parallel
        FigureTable {
            table: screen.shown.parallel
            empty: qsTr("No part has been compared yet")
        }
    }
}
