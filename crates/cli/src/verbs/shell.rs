//! Makes completions for shells, and man pages.

use clap::CommandFactory;
use clap_mangen::Man;

use crate::args::{self, Cli, Completions};
use crate::failure::{Code, Failure};
use crate::report::Report;

const NAME: &str = "oubliette";

pub(crate) fn completions(args: &Completions) -> Result<Report, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), NAME, &mut script);
    Ok(text("completions", script))
}

pub(crate) fn man(args: &args::Man) -> Result<Report, Failure> {
    let mut program = Cli::command();
    if let Some(folder) = &args.out_dir {
        std::fs::create_dir_all(folder).map_err(Failure::io_at("make the folder", folder))?;
        clap_mangen::generate_to(program, folder)
            .map_err(Failure::io_at("write the pages", folder))?;
        let shown = folder.display().to_string();
        return Ok(Report::new()
            .line(format_args!("The pages are in {shown}."))
            .field("out_dir", shown));
    }
    // After this, the pages of verbs have their full names, and the flags that all verbs share.
    program.build();
    let command = match &args.verb {
        None => program,
        Some(verb) => {
            let unknown = || Failure::new(Code::Usage, "there is no such verb");
            program.find_subcommand(verb).cloned().ok_or_else(unknown)?
        }
    };
    let mut page = Vec::new();
    Man::new(command).render(&mut page).map_err(Failure::io("write the page"))?;
    Ok(text("page", page))
}

fn text(name: &str, bytes: Vec<u8>) -> Report {
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Report::new().line(text.trim_end()).field(name, text)
}
