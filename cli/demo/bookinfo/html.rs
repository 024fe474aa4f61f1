//! The pages. Everything that came from elsewhere goes through [`Escaped`].

use std::fmt::{self, Display, Formatter};

use super::details::Book;
use super::reviews::{Rating, Review, ReviewsOf};

/// The one product's title.
pub(super) const TITLE: &str = "The Comedy of Errors";

/// What the page says of the play; trusted, ours, and the `descriptionHtml` of the API.
pub(super) const DESCRIPTION: &str = "Two brothers who look the same, two servants who look the \
same, and a town that has met only one of each: <b>William Shakespeare's</b> shortest play lets \
everyone be taken for somebody else for a whole day. More in the \
<a href=\"https://en.wikipedia.org/wiki/The_Comedy_of_Errors\">Wikipedia article</a>.";

/// Text inside HTML, in an element or a quoted attribute.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
            let (plain, special) = rest.split_at(at);
            f.write_str(plain)?;
            let mut characters = special.chars();
            f.write_str(match characters.next() {
                Some('&') => "&amp;",
                Some('<') => "&lt;",
                Some('>') => "&gt;",
                Some('"') => "&quot;",
                _ => "&#39;",
            })?;
            rest = characters.as_str();
        }
        f.write_str(rest)
    }
}

/// A part of the page, or the sentence that stands in its place.
pub(super) type Part<T> = Result<T, &'static str>;

/// The product page.
pub(super) fn product_page(
    user: Option<&str>,
    details: &Part<Book>,
    reviews: &Part<ReviewsOf>,
) -> String {
    let body = format!(
        "<section class=\"hero\"><img src=\"/static/book.svg\" alt=\"\" width=\"96\" height=\"128\">\
         <div><h1>{TITLE}</h1><p>{DESCRIPTION}</p></div></section>\n\
         <div class=\"columns\">\n{}{}</div>\n",
        Details(details),
        ReviewList(reviews),
    );
    page(TITLE, user, &body)
}

/// The app's front page, which the gateway's example does not route.
pub(super) fn index_page(user: Option<&str>) -> String {
    page(
        "Bookinfo",
        user,
        "<section class=\"hero\"><div><h1>Bookinfo</h1><p>Six small services that show one page: \
         productpage asks details and reviews, reviews asks ratings.</p>\
         <p><a class=\"button\" href=\"/productpage\">The product page</a></p></div></section>\n",
    )
}

/// A page with a sentence on it.
pub(super) fn message_page(user: Option<&str>, message: &str) -> String {
    let body = format!(
        "<section class=\"card\"><p class=\"sorry\">{}</p>\
         <p><a href=\"/productpage\">Back to the book</a></p></section>\n",
        Escaped(message)
    );
    page("Bookinfo", user, &body)
}

fn page(title: &str, user: Option<&str>, body: &str) -> String {
    let account = match user {
        Some(user) => format!(
            "<span class=\"user\">{}</span> <a class=\"button\" href=\"/logout\">Sign out</a>",
            Escaped(user)
        ),
        None => "<details class=\"sign-in\"><summary class=\"button\">Sign in</summary>\
                 <form method=\"post\" action=\"/login\">\
                 <label>User name <input name=\"username\" autocomplete=\"username\" \
                 autocapitalize=\"none\" required maxlength=\"64\"></label>\
                 <label>Password <input name=\"passwd\" type=\"password\" \
                 autocomplete=\"off\"></label>\
                 <p>Any password will do; <code>jason</code> is the name to try.</p>\
                 <button class=\"button\">Sign in</button></form></details>"
            .to_owned(),
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<link rel=\"icon\" href=\"/static/book.svg\">\n\
         <link rel=\"stylesheet\" href=\"/static/bookinfo.css\">\n</head>\n<body>\n\
         <header><a class=\"brand\" href=\"/productpage\">Bookinfo Sample</a>\
         <div class=\"account\">{account}</div></header>\n<main>\n{body}</main>\n\
         <footer>Served by gatehouse</footer>\n</body>\n</html>\n",
        title = Escaped(title),
    )
}

/// The card with the book's details.
struct Details<'a>(&'a Part<Book>);

impl Display for Details<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("<section class=\"card\" id=\"details\">")?;
        match self.0 {
            Ok(book) => {
                f.write_str("<h2>Book Details</h2><dl>")?;
                let mut row = |name, value: &str| {
                    let value = Escaped(value);
                    write!(f, "<dt>{name}</dt><dd>{value}</dd>")
                };
                row("Author", &book.author)?;
                row("Year", &book.year.to_string())?;
                row("Type", &book.binding)?;
                row("Pages", &book.pages.to_string())?;
                row("Publisher", &book.publisher)?;
                row("Language", &book.language)?;
                row("ISBN-10", &book.isbn_10)?;
                row("ISBN-13", &book.isbn_13)?;
                f.write_str("</dl>")?;
            }
            Err(sorry) => write!(
                f,
                "<h2>Error fetching product details!</h2><p class=\"sorry\">{sorry}</p>"
            )?,
        }
        f.write_str("</section>\n")
    }
}

/// The card with the reviews.
struct ReviewList<'a>(&'a Part<ReviewsOf>);

impl Display for ReviewList<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("<section class=\"card\" id=\"reviews\">")?;
        match self.0 {
            Ok(answer) => {
                f.write_str("<h2>Book Reviews</h2>")?;
                for review in &answer.reviews {
                    ReviewItem(review).fmt(f)?;
                }
                write!(
                    f,
                    "<p class=\"served\">Reviews served by: <code>{}</code> <code>{}</code></p>",
                    Escaped(&answer.podname),
                    Escaped(&answer.clustername)
                )?;
            }
            Err(sorry) => write!(
                f,
                "<h2>Error fetching product reviews!</h2><p class=\"sorry\">{sorry}</p>"
            )?,
        }
        f.write_str("</section>\n")
    }
}

struct ReviewItem<'a>(&'a Review);

impl Display for ReviewItem<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Review {
            reviewer,
            text,
            rating,
        } = self.0;
        write!(f, "<blockquote><p>{}</p>", Escaped(text))?;
        match rating {
            Some(Rating::Given { stars, color }) => {
                // A class of our own choice: the colour is the service's word, and text.
                let class = if color == "red" { "red" } else { "black" };
                let stars = (*stars).min(5);
                write!(
                    f,
                    "<p class=\"stars {class}\" role=\"img\" aria-label=\"{stars} of 5 stars\">"
                )?;
                for star in 0..5 {
                    f.write_str(if star < stars { "★" } else { "☆" })?;
                }
                f.write_str("</p>")?;
            }
            Some(Rating::Missing { error }) => {
                write!(f, "<p class=\"sorry\">{}</p>", Escaped(error))?;
            }
            None => {}
        }
        write!(f, "<footer>{}</footer></blockquote>", Escaped(reviewer))
    }
}
