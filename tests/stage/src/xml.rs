//! A small XML tree: what moto answers is read, edited and written again.

use std::sync::Arc;

use quick_xml::Reader;
use quick_xml::events::Event;

/// One element: a name, its text if it has no children, its children. Attributes matter on the root only (`xmlns`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    pub name: String,
    pub xmlns: Option<String>,
    pub text: String,
    pub children: Vec<Element>,
    /// The whole element as it is to be written: for big answers that never change.
    pub rendered: Option<Arc<str>>,
}

impl Element {
    pub fn new(name: &str) -> Element {
        Element { name: name.to_owned(), ..Element::default() }
    }

    pub fn leaf(name: &str, text: impl Into<String>) -> Element {
        Element { name: name.to_owned(), text: text.into(), ..Element::default() }
    }

    /// Builder form of [`Element::push`].
    pub fn with(mut self, child: Element) -> Element {
        self.children.push(child);
        self
    }

    /// Builder form: a child with text.
    pub fn field(self, name: &str, text: impl Into<String>) -> Element {
        self.with(Element::leaf(name, text))
    }

    /// Builder form: a child with text, left out when there is none.
    pub fn maybe(self, name: &str, text: Option<impl Into<String>>) -> Element {
        match text {
            Some(text) => self.field(name, text),
            None => self,
        }
    }

    /// Builder form: a list of children under one name.
    pub fn list(self, name: &str, items: impl IntoIterator<Item = Element>) -> Element {
        let mut list = Element::new(name);
        list.children.extend(items);
        self.with(list)
    }

    pub fn get(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    pub fn get_mut(&mut self, name: &str) -> Option<&mut Element> {
        self.children.iter_mut().find(|child| child.name == name)
    }

    /// The element at a path of names; `None` when one of them is missing.
    pub fn at(&self, path: &[&str]) -> Option<&Element> {
        path.iter().try_fold(self, |element, name| element.get(name))
    }

    pub fn at_mut(&mut self, path: &[&str]) -> Option<&mut Element> {
        path.iter().try_fold(self, |element, name| element.get_mut(name))
    }

    /// The text at a path, empty when it is missing.
    pub fn text_at(&self, path: &[&str]) -> &str {
        self.at(path).map_or("", |element| element.text.as_str())
    }

    /// The text of a child; `None` when it is missing or empty.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.get(name).map(|child| child.text.as_str()).filter(|text| !text.is_empty())
    }

    /// The children of the list at a path.
    pub fn items(&self, path: &[&str]) -> &[Element] {
        self.at(path).map_or(&[], |list| list.children.as_slice())
    }

    /// Sets a child's text, adding the child when it is missing.
    pub fn set(&mut self, name: &str, text: impl Into<String>) {
        match self.get_mut(name) {
            Some(child) => {
                child.text = text.into();
                child.children.clear();
            }
            None => self.children.push(Element::leaf(name, text)),
        }
    }

    /// Replaces a child as a whole, adding it when it is missing.
    pub fn put(&mut self, child: Element) {
        match self.get_mut(&child.name) {
            Some(place) => *place = child,
            None => self.children.push(child),
        }
    }

    pub fn remove(&mut self, name: &str) {
        self.children.retain(|child| child.name != name);
    }

    pub fn parse(document: &[u8]) -> Result<Element, String> {
        let mut reader = Reader::from_reader(document);
        let mut open: Vec<Element> = vec![Element::new("")];
        loop {
            match reader.read_event().map_err(|error| error.to_string())? {
                Event::Start(tag) => open.push(opened(&tag)?),
                Event::Empty(tag) => {
                    let element = opened(&tag)?;
                    open.last_mut().ok_or("text before the root")?.children.push(element);
                }
                Event::End(_) => {
                    let mut closed = open.pop().ok_or("more ends than starts")?;
                    if !closed.children.is_empty() {
                        closed.text.clear();
                    }
                    open.last_mut().ok_or("more ends than starts")?.children.push(closed);
                }
                Event::Text(text) => {
                    let text = text.decode().map_err(|error| error.to_string())?;
                    open.last_mut().ok_or("text after the root")?.text.push_str(&text);
                }
                Event::CData(text) => {
                    let text = String::from_utf8_lossy(&text.into_inner()).into_owned();
                    open.last_mut().ok_or("text after the root")?.text.push_str(&text);
                }
                Event::GeneralRef(reference) => {
                    let name = reference.decode().map_err(|error| error.to_string())?.into_owned();
                    let resolved = match reference.resolve_char_ref().map_err(|error| error.to_string())? {
                        Some(character) => character.to_string(),
                        None => quick_xml::escape::resolve_predefined_entity(&name)
                            .ok_or_else(|| format!("unknown entity {name}"))?
                            .to_owned(),
                    };
                    open.last_mut().ok_or("text after the root")?.text.push_str(&resolved);
                }
                Event::Eof => break,
                Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Comment(_) => {}
            }
        }
        let mut document = open.pop().ok_or("unbalanced")?;
        document.children.pop().ok_or_else(|| "no root element".to_owned())
    }

    /// The same element, written once and for all.
    pub fn render(&self) -> Element {
        let mut text = String::new();
        self.write_to(&mut text);
        Element { rendered: Some(text.into()), ..Element::default() }
    }

    pub fn write(&self) -> String {
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        self.write_to(&mut out);
        out
    }

    fn write_to(&self, out: &mut String) {
        if let Some(rendered) = &self.rendered {
            out.push_str(rendered);
            return;
        }
        out.push('<');
        out.push_str(&self.name);
        if let Some(xmlns) = &self.xmlns {
            out.push_str(" xmlns=\"");
            out.push_str(xmlns);
            out.push('"');
        }
        if self.children.is_empty() && self.text.is_empty() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        out.push_str(&quick_xml::escape::escape(&self.text));
        for child in &self.children {
            child.write_to(out);
        }
        out.push_str("</");
        out.push_str(&self.name);
        out.push('>');
    }
}

fn opened(tag: &quick_xml::events::BytesStart<'_>) -> Result<Element, String> {
    let name = String::from_utf8_lossy(tag.name().as_ref()).into_owned();
    let xmlns = tag
        .try_get_attribute("xmlns")
        .map_err(|error| error.to_string())?
        .map(|attribute| String::from_utf8_lossy(&attribute.value).into_owned());
    Ok(Element { name, xmlns, ..Element::default() })
}

#[cfg(test)]
mod tests {
    use super::Element;

    #[test]
    fn a_document_survives_reading_and_writing() {
        let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<A xmlns=\"urn:x\"><b>1 &lt; 2 &amp; 3</b><c/><d><item>x</item><item>y</item></d></A>";
        let tree = Element::parse(text.as_bytes()).expect("well-formed");
        assert_eq!(tree.text_at(&["b"]), "1 < 2 & 3");
        assert_eq!(tree.items(&["d"]).len(), 2);
        assert_eq!(tree.write(), text);
    }
}
